package otp

import (
	"crypto/subtle"
	"math"
	"strings"
	"time"

	library "github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Verify says whether a TOTP code is one of the time at, or of a period within
// the drift, that comes after last. last is the step that was let in before, and
// 0 when none was.
//
// Store step as the new last in the transaction that lets the code in, where last
// is still what it was: so no code is let in twice, whatever a clock does. A
// clock that went back lets nothing in until it has passed last again.
//
// Spaces in a code are left out. Time tells nothing about the code.
//
// Source: RFC 6238, section 5.2.
func (k Key) Verify(code secret.String, at time.Time, last int64) (step int64, ok bool) {
	if k.secret.IsZero() || at.Unix() < 0 {
		return 0, false
	}
	now, drift := at.Unix()/int64(k.settings.Period), int64(k.settings.Drift)
	return k.find(code, now-drift, now+drift, last)
}

// maxAhead bounds how far a hardware token may be ahead.
const maxAhead = 20

// VerifyCounter says whether an HOTP code is the one of next, or of one of the
// ahead counters behind it, at most 20: somebody pressed the button in vain. next
// is what was answered as after before, and 0 for a new token; after is to be
// stored, as in Verify.
//
// Source: RFC 4226, section 7.4.
func (k Key) VerifyCounter(code secret.String, next int64, ahead int) (after int64, ok bool) {
	if k.secret.IsZero() || next < 0 || next >= math.MaxInt64-maxAhead {
		return 0, false
	}
	counter, ok := k.find(code, next, next+int64(min(max(ahead, 0), maxAhead)), next-1)
	if !ok {
		return 0, false
	}
	return counter + 1, true
}

// find looks for the counter of a code from first to end, and beyond last. All
// are computed and compared, whatever is found. Where two counters have one code,
// the later one counts, so that it is used up with the earlier.
func (k Key) find(code secret.String, first, end, last int64) (found int64, ok bool) {
	typed := []byte(strings.ReplaceAll(code.Reveal(), " ", ""))
	if len(typed) != k.settings.Digits {
		return 0, false
	}
	for counter := first; counter <= end; counter++ {
		same := subtle.ConstantTimeCompare([]byte(k.code(max(counter, 0))), typed) == 1
		if same && counter >= 0 && counter > last {
			found, ok = counter, true
		}
	}
	return found, ok
}

// code computes HOTP. It cannot fail: the secret is base32.
func (k Key) code(counter int64) string {
	code, err := hotp.GenerateCodeCustom(k.secret.Reveal(), uint64(counter), hotp.ValidateOpts{
		Digits: library.Digits(k.settings.Digits), Algorithm: algorithms[k.settings.Algorithm],
	})
	if err != nil {
		return "" // matches nothing: it has no digits
	}
	return code
}

package trust

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

const (
	// MaxLife is how long what a workload shows may still be good for.
	MaxLife = 24 * time.Hour
	// skew is how far the issuer's clock may be ahead.
	skew = 10 * time.Second
	// maxSubject bounds a subject, in bytes.
	maxSubject = 2048
)

// Claims are what an issuer says of a workload.
//
// Source: RFC 7523 section 3; JWT-SVID section 3; OpenID Connect Core 1.0 section 2.
type Claims struct {
	// Issuer is nil where there is none.
	Issuer    *string  `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  Audience `json:"aud"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
}

// Audience is one text, or several.
type Audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *Audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = Audience{one}
		return nil
	}
	var several []string
	err := json.Unmarshal(text, &several)
	*a = several
	return err
}

// Wrong is what is wrong with what an issuer says of a workload, or "": that its keys
// signed it is known. It may be shown more than once, as all three do that these are made
// for: a file in a pod is read as often as it is needed.
//
// Source: RFC 7523 section 3; JWT-SVID sections 3 and 5.
func Wrong(s *eventv1.TrustSettings, c Claims, now time.Time) string {
	at := float64(now.UnixMicro()) / float64(time.Second/time.Microsecond)
	late := at + skew.Seconds()
	absent := c.Issuer == nil && IsSPIFFE(s.GetIssuer())
	switch {
	case !absent && (c.Issuer == nil || *c.Issuer != s.GetIssuer()):
		return "iss is not the issuer of the trust"
	case s.GetAudience() == "" || !slices.Contains(c.Audience, s.GetAudience()):
		return "aud does not have the audience of the trust"
	case c.Expires == nil || !finite(*c.Expires) || *c.Expires <= at:
		return "it has expired, or has no exp"
	case *c.Expires > at+MaxLife.Seconds():
		return "exp must be 24 hours ahead at most"
	case c.NotBefore != nil && *c.NotBefore > late:
		return "nbf is in the future"
	case c.IssuedAt != nil && *c.IssuedAt > late:
		return "iat is in the future"
	case !Matches(s, c.Subject):
		return "sub is not one of the trust's subjects"
	}
	return ""
}

func finite(number float64) bool { return !math.IsInf(number, 0) && !math.IsNaN(number) }

// Ends is when what was shown ends: a token is not good for longer.
func (c Claims) Ends() time.Time { return time.Unix(int64(math.Floor(*c.Expires)), 0) }

// Matches says whether a workload is one that a trust is about, character by character.
func Matches(s *eventv1.TrustSettings, subject string) bool {
	if subject == "" || len(subject) > maxSubject || !visible(subject) {
		return false
	}
	if IsSPIFFE(s.GetIssuer()) {
		path, ok := strings.CutPrefix(subject, s.GetIssuer()+"/")
		if !ok || len(subject) > maxSPIFFE || !spiffePath(path) {
			return false
		}
	}
	prefix, open := strings.CutSuffix(s.GetSubject(), "*")
	if !open {
		return prefix != "" && subject == prefix
	}
	rest, ok := strings.CutPrefix(subject, prefix)
	return ok && prefix != "" && rest != "" && !dots(rest)
}

// visible says whether a text is of visible ASCII: what looks like another one is none.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// dots says whether a path leads out of where it begins, for whoever resolves it.
func dots(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

package trust

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// maxKeysURI bounds where keys are, in bytes.
const maxKeysURI = 500

// keysRule says what is wrong with how a trust's settings name the issuer's keys.
func keysRule(s *eventv1.TrustSettings) error {
	switch {
	case s.GetJwks() != "" && s.GetJwksUri() != "":
		return fault.Field("settings.jwks_uri", "one_of", "is where keys are, and settings.jwks are keys: one of them")
	case s.GetJwksUri() != "" && !fetchable(s.GetJwksUri()):
		return fault.Field("settings.jwks_uri", "https", "must be https://…, without a fragment")
	case s.GetJwks() == "" && s.GetJwksUri() == "" && IsSPIFFE(s.GetIssuer()):
		return fault.Field("settings.jwks_uri", "required", "or settings.jwks: a trust domain does not say where its keys are")
	}
	return nil
}

// fetchable says whether keys may be fetched from a URI.
func fetchable(at string) bool {
	return len(at) <= maxKeysURI && strings.HasPrefix(at, "https://") && uri.RedirectRule(at) == ""
}

// Source is where the keys of an issuer are fetched. Those of several trusts are the same
// if their sources are.
type Source struct {
	// URI is of the keys; empty: Issuer says where they are.
	URI, Issuer string
	// Bundle: they are those of a SPIFFE trust domain.
	Bundle bool
}

// SourceOf is where the keys of a trust are fetched; false: they are in the trust.
func SourceOf(s *eventv1.TrustSettings) (Source, bool) {
	switch {
	case s.GetJwks() != "":
		return Source{}, false
	case s.GetJwksUri() != "":
		return Source{URI: s.GetJwksUri(), Bundle: IsSPIFFE(s.GetIssuer())}, true
	default:
		return Source{Issuer: s.GetIssuer()}, true
	}
}

// ConfigurationURI is where an issuer says what it is.
//
// Source: OpenID Connect Discovery 1.0 section 4.
func ConfigurationURI(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// Configuration is what an issuer says of itself.
//
// Source: OpenID Connect Discovery 1.0 section 3.
type Configuration struct {
	Issuer  string `json:"issuer"`
	KeysURI string `json:"jwks_uri"`
}

// Of says whether it is what an issuer may say: that it is the one, and where its keys can
// be fetched.
//
// Source: OpenID Connect Discovery 1.0 section 4.3.
func (c Configuration) Of(issuer string) bool { return c.Issuer == issuer && fetchable(c.KeysURI) }

// How long keys are kept that were fetched, and how often they are fetched.
const (
	minLife     = time.Minute
	defaultLife = 5 * time.Minute
	maxLife     = time.Hour
	// staleFor is how long they go on when they cannot be fetched again.
	staleFor = time.Hour
	// unknownEvery is how often they are fetched because of a key that is not among them:
	// everybody can name one.
	unknownEvery = time.Minute
	// firstPause is the time after a fetch that failed; it doubles up to maxPause.
	firstPause = 10 * time.Second
	maxPause   = 5 * time.Minute
)

// Life is how long what was fetched is kept, by its headers Cache-Control.
//
// Source: RFC 9111 sections 5.2.2.1, 5.2.2.4 and 5.2.2.5.
func Life(cacheControl []string) time.Duration {
	life := defaultLife
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(cacheControl, ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return minLife
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				life = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(life, minLife), maxLife)
}

// Kept is what is known of keys that are fetched. The zero Kept is of those that never
// were.
type Kept struct {
	// At is when they were fetched, zero: never; and Life how long they are good.
	At   time.Time
	Life time.Duration
	// Tried is the last time that it was tried, and Failures how often in a row it failed.
	Tried    time.Time
	Failures int
	// Asked is the last time that it was tried because a key was not among them.
	Asked time.Time
}

// Good says whether the keys may be used.
func (k Kept) Good(now time.Time) bool {
	return !k.At.IsZero() && now.Before(k.At.Add(k.Life).Add(staleFor))
}

// Due says whether the keys are fetched for a token whose key is among them, or is not.
func (k Kept) Due(among bool, now time.Time) bool {
	fresh := !k.At.IsZero() && now.Before(k.At.Add(k.Life))
	switch {
	case k.Failures > 0 && now.Before(k.Tried.Add(pause(k.Failures))):
		return false
	case !fresh:
		return true
	default:
		return !among && (k.Asked.IsZero() || !now.Before(k.Asked.Add(unknownEvery)))
	}
}

// pause is how long nothing is tried after so many failures.
func pause(failures int) time.Duration {
	return min(firstPause<<min(failures-1, 10), maxPause)
}

// Begun is what is known when they begin to be fetched.
func (k Kept) Begun(among bool, now time.Time) Kept {
	k.Tried = now
	if !among && !k.At.IsZero() {
		k.Asked = now
	}
	return k
}

// Fetched is what is known after keys were fetched that are good for so long.
func (k Kept) Fetched(life time.Duration, now time.Time) Kept {
	k.At, k.Life, k.Failures = now, life, 0
	return k
}

// Failed is what is known after a fetch that failed.
func (k Kept) Failed(now time.Time) Kept {
	k.Tried = now
	k.Failures++
	return k
}

// JSON says whether a Content-Type is one of JSON.
//
// Source: RFC 8259 section 11; RFC 6839 section 3.1; RFC 7517 section 8.5.
func JSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return slices.Contains([]string{"application/json", "text/json"}, kind) ||
		strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
}

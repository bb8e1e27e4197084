package accesstoken

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// typ is the header typ of an access token.
//
// Source: RFC 9068 section 2.1.
const typ = "at+jwt"

// Config is what a Verifier needs.
type Config struct {
	// Keys are the public keys of the issuers at this moment. Required. It is called for
	// each token, and never waits.
	Keys func() jose.Keys
	// Missing is told of tokens of a key that is not there, with its kid, which may be
	// anything; nil: nobody. It never waits.
	Missing func(kid string)
	// Issuers are those whose tokens are taken, as https://id.example.com.
	Issuers []string
	// Audience are the names of the resource that is called: a token is for one of them.
	Audience []string
	// Anybody takes tokens whoever they are for: only for who is asked what a token says.
	Anybody bool
	// Deny knows what was taken back. Required.
	Deny *Deny
	// Age is how old what Deny knows may be; known is false until it is complete for the
	// first time. Nil: whoever calls looks after that.
	Age func() (age time.Duration, known bool)
	// MaxAge is the age up to which Deny is believed; absent: DefaultMaxAge.
	MaxAge time.Duration
	// CacheSize is how many tokens are remembered; absent: 10,000.
	CacheSize int
	// Clock; nil means time.Now.
	Clock func() time.Time
}

const (
	// DefaultMaxAge is up to which age it is believed what was revoked.
	DefaultMaxAge = 5 * time.Second
	defaultCache  = 10_000
)

// Verifier says whether access tokens are good, from memory. Its methods may be called
// from many goroutines.
type Verifier struct {
	config Config
	cache  *cache
}

// NewVerifier makes a verifier. It panics without keys or a deny map.
func NewVerifier(c Config) *Verifier {
	if c.Keys == nil || c.Deny == nil {
		panic("accesstoken: a verifier needs keys and a deny map")
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.CacheSize == 0 {
		c.CacheSize = defaultCache
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Verifier{config: c, cache: newCache(c.CacheSize)}
}

// ErrOver is behind the refusal of a token that an issuer did make: it has expired, was
// taken back, or is for somebody else. Whoever shows it does not guess.
var ErrOver = errors.New("the token was made by an issuer, and is not good here or now")

// Verify returns what a token says that is good now.
//
// Errors: TOKEN_REJECTED, whatever is wrong with the token, with ErrOver behind it where
// the signature is right; SERVICE_UNAVAILABLE for a token that may have been taken back:
// there are no keys yet, or what was taken back is not known up to MaxAge ago.
//
// Source: RFC 9068 section 4.
func (v *Verifier) Verify(token secret.String) (Claims, error) {
	known, err := v.signed(token)
	if err != nil {
		return Claims{}, err
	}
	c := &known.claims
	fresh := v.fresh() // before the question: what is learned in between does not make its answer fresh
	switch {
	case c.Expires <= v.config.Clock().Unix():
		return Claims{}, Rejected().Because(ErrOver)
	case !v.config.Keys().Has(known.kid), v.config.Deny.check(c, known.kid):
		return Claims{}, Rejected().Because(ErrOver)
	case !fresh:
		return Claims{}, unavailable()
	}
	return *c, nil
}

// Remembers says whether a token was good a moment ago. Whoever limits guesses leaves
// such a token alone.
func (v *Verifier) Remembers(token secret.String) bool {
	return v.cache.get(sha256.Sum256([]byte(token.Reveal()))) != nil
}

// signed returns a token that an issuer made for this resource. What changes with time
// is not looked at.
func (v *Verifier) signed(token secret.String) (*verified, error) {
	text := token.Reveal()
	if len(text) > jose.MaxToken {
		return nil, Rejected()
	}
	key := sha256.Sum256([]byte(text))
	if known := v.cache.get(key); known != nil {
		return known, nil
	}
	keys := v.config.Keys()
	if keys.None() {
		return nil, unavailable()
	}
	kid := jose.KeyID(text)
	if kid == "" {
		return nil, Rejected()
	}
	if !keys.Has(kid) {
		if v.config.Missing != nil {
			v.config.Missing(kid)
		}
		return nil, Rejected()
	}
	payload, err := jose.Verify(text, keys, jose.Expect{Type: typ, Algorithms: []jose.Algorithm{jose.ES256, jose.RS256, jose.EdDSA}})
	if err != nil {
		return nil, Rejected().Because(err)
	}
	known := &verified{kid: kid}
	if err := jose.Claims(payload, &known.claims); err != nil {
		return nil, Rejected().Because(err)
	}
	if !v.takes(&known.claims) {
		return nil, Rejected().Because(ErrOver)
	}
	v.cache.put(key, known)
	return known, nil
}

// takes says whether an issuer of ours made a token of this form for this resource. Its
// issuers and this process may have different clocks, but not very.
func (v *Verifier) takes(c *Claims) bool {
	life := c.Expires - c.IssuedAt
	return slices.Contains(v.config.Issuers, c.Issuer) && (v.config.Anybody && len(c.Audience) > 0 || slices.ContainsFunc(c.Audience, v.named)) &&
		c.Subject != "" && c.ID != "" && c.Client != "" && c.IssuedAt > 0 &&
		life > 0 && life <= int64(MaxLife/time.Second) &&
		c.IssuedAt <= v.config.Clock().Add(Skew).Unix() && bounded(c.Actor)
}

func (v *Verifier) named(audience string) bool { return slices.Contains(v.config.Audience, audience) }

// bounded says whether few act for each other, and each is named.
func bounded(a *Actor) bool {
	for n := 0; a != nil; n, a = n+1, a.Actor {
		if n == maxActors || a.Subject == "" {
			return false
		}
	}
	return true
}

func (v *Verifier) fresh() bool {
	if v.config.Age == nil {
		return true
	}
	age, known := v.config.Age()
	return known && age <= v.config.MaxAge
}

// Rejected is the refusal of a token, whatever is wrong with it.
func Rejected() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "the token is unknown, expired or revoked")
}

func unavailable() *fault.Fault {
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
		"it is not known right now whether the token was revoked").Retry(time.Second)
}

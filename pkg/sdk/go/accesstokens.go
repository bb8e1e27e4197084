package meridian

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// Claims are what an access token says. They are shared: do not change them.
type Claims = accesstoken.Claims

// AccessTokensConfig says which access tokens a product takes.
type AccessTokensConfig struct {
	// Issuers are those whose tokens are taken, as https://id.example.com. Required.
	Issuers []string
	// Resources are the names of the product in tokens (RFC 8707), as
	// https://reports.example.com: a token is for one of them. Required. Protect and
	// Metadata need names that are URLs where clients call it.
	Resources []string
	// MaxAge is how old what is known of revocations may be; if it is older, no token is
	// taken. 0 means 5 s.
	MaxAge time.Duration
	// KeysURLs are where the public keys are, which all issuers of a deployment share, asked
	// in this order; none: /oauth2/jwks of each issuer.
	KeysURLs []string
	// Log is told what cannot be fetched; nil: nobody is.
	Log *slog.Logger
}

// AccessTokens says whether access tokens of users, service accounts and clients are good, from
// memory: a question costs no network. It knows the issuers' keys, and what ended: tokens
// of a session, user, client or organization that was revoked are refused well within a
// second.
//
// When it cannot be known what ended, because no region has said it for MaxAge, no token
// is taken. It is safe for concurrent use.
type AccessTokens struct {
	keys     *accesstoken.Remote
	revoked  *revocations
	verifier *accesstoken.Verifier
	proofs   *dpop.Seen
	issuers  []string
	// places are the resources that are URLs.
	places []*url.URL
}

// AccessTokens returns what verifies access tokens. Run it. The client's own token must be a
// platform token of level read, by which it is told of revocations.
//
// Errors: a configuration without issuers or resources.
func (c *Client) AccessTokens(config AccessTokensConfig) (*AccessTokens, error) {
	if len(config.Issuers) == 0 || len(config.Resources) == 0 {
		return nil, errors.New("meridian: access tokens need Issuers and Resources: name whose tokens are taken, and for what")
	}
	if config.MaxAge == 0 {
		config.MaxAge = accesstoken.DefaultMaxAge
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if len(config.KeysURLs) == 0 {
		for _, issuer := range config.Issuers {
			config.KeysURLs = append(config.KeysURLs, strings.TrimSuffix(issuer, "/")+"/oauth2/jwks")
		}
	}
	t := &AccessTokens{
		keys:    accesstoken.NewRemote(config.KeysURLs, nil, config.Log, nil),
		revoked: &revocations{service: c.Revocations, maxAge: config.MaxAge, log: config.Log},
		proofs:  dpop.NewSeen(0),
		issuers: config.Issuers,
	}
	for _, resource := range config.Resources {
		if u, err := url.Parse(resource); err == nil && u.Host != "" {
			t.places = append(t.places, u)
		}
	}
	t.revoked.refetch = func() { t.keys.Missing("") }
	t.revoked.deny = accesstoken.NewDeny(t.revoked.clock.now)
	t.verifier = accesstoken.NewVerifier(accesstoken.Config{
		Keys: t.keys.Keys, Missing: t.keys.Missing, Issuers: config.Issuers, Audience: config.Resources,
		Deny: t.revoked.deny, Age: t.Age, MaxAge: config.MaxAge, Clock: t.revoked.clock.now,
	})
	return t, nil
}

// Run keeps keys and revocations up to date until ctx ends. Regions that are away are no
// error: it tries again.
//
// Errors: ctx.Err(); those that do not go away by themselves, as TOKEN_REJECTED and
// ACCESS_DENIED for the client's own token.
func (t *AccessTokens) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.keys.Run(ctx) })
	group.Go(func() error { return t.revoked.follow(ctx) })
	return group.Wait()
}

// Ready says whether tokens can be verified right now, and if not, why: before Run has
// heard of keys and revocations for the first time, and while it does not any more.
func (t *AccessTokens) Ready() error {
	if t.keys.Keys().None() {
		return errors.New("meridian: the issuers' keys were not fetched yet")
	}
	age, known := t.Age()
	switch {
	case !known:
		return errors.New("meridian: no region has said yet what was revoked")
	case age > t.revoked.maxAge:
		return fmt.Errorf("meridian: no region has said for %v what was revoked", age.Round(time.Second))
	}
	return nil
}

// Age is how old what is known of revocations may be, for a metric; known is false before
// it is known for the first time, and after a gap of minutes until the keys were fetched.
func (t *AccessTokens) Age() (age time.Duration, known bool) {
	if gap := t.revoked.gap.Load(); gap != nil && !t.keys.Fetched().After(*gap) {
		return 0, false // a key may have been stolen meanwhile: the keys of now say so
	}
	return t.revoked.age()
}

// Verify returns what a bearer token says that is good now. Tokens that are bound to a key
// or a certificate are no bearer tokens: Protect takes them.
//
// Errors: TOKEN_REJECTED, whatever is wrong with it; SERVICE_UNAVAILABLE for a token that
// may be good, and may have been revoked: see Ready.
func (t *AccessTokens) Verify(token string) (Claims, error) {
	claims, err := t.verifier.Verify(secret.NewString(token))
	if err == nil && claims.Confirmation != nil {
		err = accesstoken.Rejected()
	}
	if err != nil {
		return Claims{}, local(err)
	}
	return claims, nil
}

// local is an error of this process in the form of those of calls.
func local(err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	return &Error{Reason: f.Reason, Meta: f.Meta, Err: faultconnect.ToConnect(f)}
}

package principal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/region"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// keySize is the length of the key in bytes.
	keySize = 32
	// serviceTokenLifetime is how long a minted token lives.
	serviceTokenLifetime = 60 * time.Second
	// clockSkew is how far two clocks of the deployment may differ.
	clockSkew = 10 * time.Second
	// maxServiceToken bounds what is parsed, in bytes.
	maxServiceToken = 4096
	// serviceTokenType keeps other JWTs, signed with whatever key, out.
	serviceTokenType = "meridian-service+jwt"
)

// ServiceKey lets the services of one deployment know each other: they share
// 32 random bytes. The zero value and nil sign and verify nothing.
type ServiceKey struct {
	key    []byte
	signer jose.Signer
	// Clock is the time; nil means time.Now.
	Clock func() time.Time
}

// NewServiceKey makes a key from 32 bytes.
func NewServiceKey(key []byte) (*ServiceKey, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("service key: want %d bytes, have %d", keySize, len(key))
	}
	own := append([]byte(nil), key...)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: own},
		(&jose.SignerOptions{}).WithType(serviceTokenType))
	if err != nil {
		return nil, fmt.Errorf("service key: %w", err)
	}
	return &ServiceKey{key: own, signer: signer}, nil
}

// GenerateServiceKey makes a random key, for a deployment of one process.
func GenerateServiceKey() (*ServiceKey, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("service key: %w", err)
	}
	return NewServiceKey(key)
}

// LoadServiceKey reads a file that holds exactly the 32 bytes.
func LoadServiceKey(path string) (*ServiceKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("service key: %w", err)
	}
	defer func() { _ = f.Close() }()
	key, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return nil, fmt.Errorf("service key: %w", err)
	}
	return NewServiceKey(key)
}

type serviceClaims struct {
	jwt.Claims
	Caller *callerClaims `json:"caller,omitempty"`
}

type callerClaims struct {
	Kind         Kind           `json:"kind"`
	ID           string         `json:"id"`
	Organization string         `json:"org,omitempty"`
	Level        commonv1.Level `json:"level"`
	Scopes       []string       `json:"scopes,omitempty"`
	Account      string         `json:"account,omitempty"`
	OnBehalfOf   string         `json:"for,omitempty"`
	By           string         `json:"by,omitempty"`
	// Via and From are of a call that was forwarded: what the caller's Via was, and
	// the region that forwarded it.
	Via  string `json:"via,omitempty"`
	From string `json:"from,omitempty"`
}

// Mint makes a bearer token with which service calls audience, a full service
// name such as meridian.identity.v1.ApiTokenService. With a caller the call is
// made in the caller's name, and reaches no further than the caller does.
//
// The token is a JWT (HS256) that lives 60 s.
func (k *ServiceKey) Mint(service, audience string, caller *Principal) (secret.String, error) {
	if caller == nil {
		return k.mint(service, audience, nil)
	}
	return k.mint(service, audience, claimsOf(*caller))
}

// Forward makes a bearer token with which a service sends a call on, from its
// region to another one's audience, as the caller made it: the caller comes out as
// it was, but for ForwardedFrom. Format and life are those of Mint.
func (k *ServiceKey) Forward(service, region, audience string, caller Principal) (secret.String, error) {
	claims := claimsOf(caller)
	claims.Via, claims.From = caller.Via, region
	return k.mint(service, audience, claims)
}

func claimsOf(caller Principal) *callerClaims {
	return &callerClaims{
		Kind: caller.Kind, ID: caller.ID, Organization: caller.Organization, Level: caller.Level,
		Scopes: caller.Scopes, Account: caller.ServiceAccount, OnBehalfOf: caller.OnBehalfOf, By: caller.By,
	}
}

func (k *ServiceKey) mint(service, audience string, caller *callerClaims) (secret.String, error) {
	if k == nil || k.signer == nil {
		return secret.String{}, errors.New("mint service token: no service key")
	}
	now := k.now()
	claims := serviceClaims{Caller: caller, Claims: jwt.Claims{
		Issuer:   service,
		Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(serviceTokenLifetime)),
	}}
	token, err := jwt.Signed(k.signer).Claims(claims).Serialize()
	if err != nil {
		return secret.String{}, fmt.Errorf("mint service token: %w", err)
	}
	return secret.NewString(token), nil
}

// Verify returns who calls: the service itself, or the caller for whom it
// calls, with the service in Via or, of a call that was forwarded, the region in
// ForwardedFrom.
//
// Errors: TOKEN_REJECTED, whatever is wrong.
func (k *ServiceKey) Verify(bearer secret.String, audience string) (Principal, error) {
	if k == nil || k.key == nil || len(bearer.Reveal()) > maxServiceToken {
		return Principal{}, rejected()
	}
	token, err := jwt.ParseSigned(bearer.Reveal(), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil || len(token.Headers) != 1 {
		return Principal{}, rejected()
	}
	if typ, _ := token.Headers[0].ExtraHeaders[jose.HeaderType].(string); typ != serviceTokenType {
		return Principal{}, rejected()
	}
	var claims serviceClaims
	if err := token.Claims(k.key, &claims); err != nil {
		return Principal{}, rejected()
	}
	if claims.Expiry == nil || claims.IssuedAt == nil || claims.Issuer == "" {
		return Principal{}, rejected()
	}
	expected := jwt.Expected{AnyAudience: jwt.Audience{audience}, Time: k.now()}
	if err := claims.ValidateWithLeeway(expected, clockSkew); err != nil || !claims.plausible() {
		return Principal{}, rejected()
	}
	return claims.principal(), nil
}

// plausible says whether Mint or Forward could have made these claims: they live no longer
// than its tokens do, and name a caller of a kind and a level that there is.
func (c *serviceClaims) plausible() bool {
	if c.Expiry.Time().Sub(c.IssuedAt.Time()) > serviceTokenLifetime+clockSkew {
		return false
	}
	if c.Caller == nil {
		return true
	}
	if c.Caller.From == "" && c.Caller.Via != "" || c.Caller.From != "" && !region.Valid(c.Caller.From) {
		return false
	}
	if c.Caller.OnBehalfOf != "" && (c.Caller.Kind != APIToken || !id.Valid(id.User, c.Caller.OnBehalfOf)) {
		return false
	}
	_, level := commonv1.Level_name[int32(c.Caller.Level)]
	return level && c.Caller.Kind.defined() && c.Caller.ID != "" && c.Caller.subjected()
}

// subjected says whether a caller with an access token is one that OfAccessToken makes:
// it has no level, and is a user or service account.
func (c *callerClaims) subjected() bool {
	switch c.Kind {
	case User:
		return c.Level == 0 && id.Valid(id.User, c.ID) && c.By != ""
	case ServiceAccount:
		return c.Level == 0 && id.Valid(id.ServiceAccount, c.ID) && c.By != ""
	default:
		return c.By == ""
	}
}

func (c *serviceClaims) principal() Principal {
	expires := c.Expiry.Time()
	if c.Caller == nil {
		return Principal{Kind: Service, ID: c.Issuer, Level: commonv1.Level_LEVEL_ADMIN, Expires: expires}
	}
	p := Principal{
		Kind: c.Caller.Kind, ID: c.Caller.ID, Organization: c.Caller.Organization,
		Level: c.Caller.Level, Scopes: c.Caller.Scopes, ServiceAccount: c.Caller.Account,
		OnBehalfOf: c.Caller.OnBehalfOf, By: c.Caller.By, Via: c.Issuer, Expires: expires,
	}
	if c.Caller.From != "" {
		p.Via, p.ForwardedFrom = c.Caller.Via, c.Caller.From
	}
	return p
}

func (k *ServiceKey) now() time.Time {
	if k.Clock == nil {
		return time.Now()
	}
	return k.Clock()
}

// LooksMinted says whether a bearer has the form of a token by Mint, or of an access
// token, so that no verifier of API tokens is to be asked.
func LooksMinted(bearer secret.String) bool {
	text := bearer.Reveal()
	return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2
}

func rejected() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "the token is unknown, expired or revoked")
}

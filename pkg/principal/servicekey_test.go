package principal_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const audience = "meridian.identity.v1.ApiTokenService"

func newKey(t testing.TB, clock func() time.Time) (*principal.ServiceKey, []byte) {
	t.Helper()
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	key, err := principal.NewServiceKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	key.Clock = clock
	return key, raw
}

func TestServiceKeyRoundTrip(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	key, _ := newKey(t, func() time.Time { return now })
	caller := principal.Principal{
		Kind: principal.APIToken, ID: "tok_1", Organization: acme, Level: commonv1.Level_LEVEL_WRITE,
		// As many as identity takes.
		Scopes: slices.Repeat([]string{"meridian.authz.v1.CheckService/BatchChec"}, 50), ServiceAccount: "svc_00000000000000000000000001",
	}
	passed := caller
	passed.Via, passed.Expires = "authz", now.Add(time.Minute).UTC()
	behalf := caller
	behalf.OnBehalfOf = id.New(id.User)
	passedBehalf := passed
	passedBehalf.OnBehalfOf = behalf.OnBehalfOf
	for name, c := range map[string]struct {
		caller *principal.Principal
		want   principal.Principal
	}{
		"own account": {nil, principal.Principal{Kind: principal.Service, ID: "authz", Level: commonv1.Level_LEVEL_ADMIN, Expires: now.Add(time.Minute).UTC()}},
		"passed on":   {&caller, passed},
		"for a user":  {&behalf, passedBehalf},
	} {
		bearer, err := key.Mint("authz", audience, c.caller)
		if err != nil {
			t.Fatal(err)
		}
		if !principal.LooksMinted(bearer) {
			t.Errorf("%s: does not look minted", name)
		}
		got, err := key.Verify(bearer, audience)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got.Expires = got.Expires.UTC()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestServiceKeyRefuses(t *testing.T) {
	t.Parallel()
	minted := time.Unix(1_800_000_000, 0)
	now := minted
	key, raw := newKey(t, func() time.Time { return now })
	foreign, _ := newKey(t, func() time.Time { return now })
	mint := func(k *principal.ServiceKey, to string) string {
		bearer, err := k.Mint("authz", to, nil)
		if err != nil {
			t.Fatal(err)
		}
		return bearer.Reveal()
	}
	signed := func(algorithm jose.SignatureAlgorithm, typ jose.ContentType, signingKey []byte, claims jwt.Claims) string {
		return sign(t, algorithm, typ, signingKey, claims)
	}
	const typ = "meridian-service+jwt"
	claims := jwt.Claims{Issuer: "authz", Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(minted), Expiry: jwt.NewNumericDate(minted.Add(time.Minute))}
	without := func(change func(*jwt.Claims)) jwt.Claims {
		changed := claims
		change(&changed)
		return changed
	}
	good := mint(key, audience)
	for name, c := range map[string]struct {
		bearer string
		after  time.Duration
		ok     bool
	}{
		"good":                    {good, 0, true},
		"control: signed by hand": {signed(jose.HS256, typ, raw, claims), 0, true},
		"expired within the skew": {good, 69 * time.Second, true},
		"expired":                 {good, 71 * time.Second, false},
		"future within the skew":  {good, -9 * time.Second, true},
		"from the future":         {good, -11 * time.Second, false},
		"for another service":     {mint(key, "meridian.authz.v1.CheckService"), 0, false},
		"another key":             {mint(foreign, audience), 0, false},
		"another algorithm":       {signed(jose.HS512, typ, append(raw, raw...), claims), 0, false},
		"another type":            {signed(jose.HS256, "JWT", raw, claims), 0, false},
		"no expiry":               {signed(jose.HS256, typ, raw, without(func(c *jwt.Claims) { c.Expiry = nil })), 0, false},
		"no issuer":               {signed(jose.HS256, typ, raw, without(func(c *jwt.Claims) { c.Issuer = "" })), 0, false},
		"no audience":             {signed(jose.HS256, typ, raw, without(func(c *jwt.Claims) { c.Audience = nil })), 0, false},
		"lives too long":          {signed(jose.HS256, typ, raw, without(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(minted.Add(time.Hour)) })), 0, false},
		"no signature":            {good[:strings.LastIndexByte(good, '.')+1], 0, false},
		"algorithm none":          {"eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".", 0, false},
		"empty":                   {"", 0, false},
		"not a token":             {"eyJ..", 0, false},
		"too long":                {good + strings.Repeat("A", 5000), 0, false},
	} {
		now = minted.Add(c.after)
		_, err := key.Verify(secret.NewString(c.bearer), audience)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			t.Errorf("%s: %v, want TOKEN_REJECTED", name, err)
		}
	}
}

// Who has the key can still not be what nobody is.
func TestServiceKeyRefusesUndefinedCallers(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, nil)
	for name, c := range map[string]struct {
		caller principal.Principal
		ok     bool
	}{
		"control":        {principal.Principal{Kind: principal.Operator, ID: "o", Level: commonv1.Level_LEVEL_ADMIN}, true},
		"nobody":         {principal.Principal{ID: "o", Level: commonv1.Level_LEVEL_ADMIN}, false},
		"undefined kind": {principal.Principal{Kind: 9, ID: "o", Level: commonv1.Level_LEVEL_ADMIN}, false},
		"level too high": {principal.Principal{Kind: principal.APIToken, ID: "o", Level: 99}, false},
		"level below":    {principal.Principal{Kind: principal.APIToken, ID: "o", Level: -1}, false},
		"without an id":  {principal.Principal{Kind: principal.APIToken, Level: commonv1.Level_LEVEL_READ}, false},
	} {
		bearer, err := key.Mint("authz", audience, &c.caller)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Verify(bearer, audience); c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoServiceKey(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, nil)
	good, err := key.Mint("authz", audience, nil)
	if err != nil {
		t.Fatal(err)
	}
	var none *principal.ServiceKey
	if _, err := none.Verify(good, audience); err == nil {
		t.Error("no key accepted a token")
	}
	if _, err := none.Mint("authz", audience, nil); err == nil {
		t.Error("no key minted a token")
	}
}

func sign(t *testing.T, algorithm jose.SignatureAlgorithm, typ jose.ContentType, key []byte, claims jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestLoadServiceKey(t *testing.T) {
	t.Parallel()
	for size, ok := range map[int]bool{0: false, 31: false, 32: true, 33: false} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := principal.LoadServiceKey(path); ok != (err == nil) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func FuzzServiceKeyVerify(f *testing.F) {
	key, _ := newKey(f, nil)
	good, err := key.Mint("authz", audience, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Reveal())
	f.Add("eyJ.e30.")
	f.Fuzz(func(t *testing.T, bearer string) {
		if _, err := key.Verify(secret.NewString(bearer), "another audience"); err == nil {
			t.Error("accepted")
		}
	})
}

// A call that is forwarded is the caller's as before: nothing of who acts changes.
func TestServiceKeyForward(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	key, raw := newKey(t, func() time.Time { return now })
	for name, caller := range map[string]principal.Principal{
		"an API token's": {Kind: principal.APIToken, ID: "tok_1", Organization: acme, Level: commonv1.Level_LEVEL_WRITE},
		"a limited one's": {
			Kind: principal.APIToken, ID: "tok_1", Organization: acme, Level: commonv1.Level_LEVEL_ADMIN,
			Scopes: []string{"meridian.identity.v1.ApiTokenService"}, ServiceAccount: "svc_1",
		},
		"by a service": {Kind: principal.APIToken, ID: "tok_1", Level: commonv1.Level_LEVEL_ADMIN, Via: "gateway"},
		"a service's":  {Kind: principal.Service, ID: "gateway", Level: commonv1.Level_LEVEL_ADMIN},
	} {
		bearer, err := key.Forward("authz", "us-east", audience, caller)
		if err != nil {
			t.Fatal(err)
		}
		got, err := key.Verify(bearer, audience)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := caller
		want.ForwardedFrom, want.Expires = "us-east", now.Add(time.Minute).UTC()
		got.Expires = got.Expires.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got.Scope() != caller.Scope() || got.Actor().String() != caller.Actor().String() || !got.Counted() {
			t.Errorf("%s: scope %q, actor %v, counted %t", name, got.Scope(), got.Actor(), got.Counted())
		}
		if _, err := key.Verify(bearer, "meridian.authz.v1.CheckService"); err == nil {
			t.Errorf("%s: it is good for another service", name)
		}
	}
	// Nobody can make one without the key, and none names what is no region.
	other, _ := newKey(t, key.Clock)
	bearer, err := other.Forward("authz", "us-east", audience, principal.Principal{Kind: principal.APIToken, ID: "tok_1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Verify(bearer, audience); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("with another key: %v", err)
	}
	for name, caller := range map[string]map[string]any{
		"no region":             {"kind": 1, "id": "tok_1", "level": 1, "from": "Mars!"},
		"via without a region":  {"kind": 1, "id": "tok_1", "level": 1, "via": "gateway"},
		"nobody from somewhere": {"kind": 0, "id": "", "level": 1, "from": "us-east"},
	} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: raw}, (&jose.SignerOptions{}).WithType("meridian-service+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": "authz", "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "caller": caller,
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Verify(secret.NewString(text), audience); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

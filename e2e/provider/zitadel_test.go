package provider_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/client/tokenexchange"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// TestZitadelClients: the clients of zitadel/oidc, which are certified, sign people in, use
// what they are given, and ask about it as APIs do.
func TestZitadelClients(t *testing.T) {
	w := start(t)
	user := w.user(t, "ada@example.com")
	t.Run("code", func(t *testing.T) { w.testZitadelCode(t, user) })
	t.Run("device", func(t *testing.T) { w.testZitadelDevice(t, user) })
	t.Run("exchange", func(t *testing.T) {
		c := startChained(t)
		exchanger, err := tokenexchange.NewTokenExchangerClientCredentials(t.Context(), c.issuer, c.orders.id, c.orders.secret)
		if err != nil {
			t.Fatal(err)
		}
		given, err := tokenexchange.ExchangeToken(t.Context(), exchanger, c.called(t).str("access_token"), oidc.AccessTokenType, "", "",
			[]string{billing}, nil, nil, oidc.AccessTokenType)
		if err != nil {
			t.Fatal(err)
		}
		if act, _ := claims(t, given.AccessToken)["act"].(map[string]any); act["sub"] != c.orders.id || given.IssuedTokenType != oidc.AccessTokenType {
			t.Errorf("given %+v", given)
		}
	})
}

func (w *world) testZitadelCode(t *testing.T, user string) {
	const nonce = "the-nonce"
	a := w.app1(t, basic)
	client, err := rp.NewRelyingPartyOIDC(t.Context(), w.issuer, a.id, a.secret, w.callback(), []string{"openid", "email", "offline_access"},
		rp.WithAuthStyle(oauth2.AuthStyleInHeader), rp.WithVerifierOpts(rp.WithNonce(func(context.Context) string { return nonce })), rp.WithSigningAlgsFromDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	v := w.visitor(t)
	v.open(rp.AuthURL("the-state", client, rp.WithCodeChallenge(challenge()), rp.AuthURLOpt(rp.WithURLParam("nonce", nonce))))
	v.signIn("ada@example.com")
	back, err := url.Parse(v.back)
	if err != nil || back.Query().Get("state") != "the-state" {
		t.Fatalf("called back at %q", v.back)
	}
	given, err := rp.CodeExchange[*oidc.IDTokenClaims](t.Context(), back.Query().Get("code"), client, rp.WithCodeVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if given.IDTokenClaims.Subject != user || given.RefreshToken == "" {
		t.Errorf("given %+v", given.IDTokenClaims)
	}
	info, err := rp.Userinfo[*oidc.UserInfo](t.Context(), given.AccessToken, given.TokenType, user, client)
	if err != nil || info.Email != "ada@example.com" || !bool(info.EmailVerified) {
		t.Errorf("userinfo %+v, %v", info, err)
	}
	next, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), client, given.RefreshToken, "", "")
	if err != nil || next.RefreshToken == given.RefreshToken || next.IDTokenClaims.Subject != user {
		t.Fatalf("refreshed %+v, %v", next, err)
	}

	api, err := rs.NewResourceServerClientCredentials(t.Context(), w.issuer, a.id, a.secret)
	if err != nil {
		t.Fatal(err)
	}
	active := func() bool {
		says, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), api, next.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		return says.Active
	}
	if !active() {
		t.Error("a good token is not active")
	}
	if err := rp.RevokeToken(t.Context(), client, next.RefreshToken, "refresh_token"); err != nil {
		t.Error(err)
	}
	eventually(t, "the token ends with what was revoked", func() bool { return !active() })
	if _, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), client, next.RefreshToken, "", ""); err == nil {
		t.Error("a revoked token is refreshed")
	}
	goodbye, err := rp.EndSession(t.Context(), client, given.IDToken, w.app.URL+"/goodbye", "bye", "", nil)
	if err != nil || goodbye.String() != w.app.URL+"/goodbye?state=bye" {
		t.Errorf("logout leads to %v, %v", goodbye, err)
	}
}

func (w *world) testZitadelDevice(t *testing.T, user string) {
	s := w.settings(basic)
	s.GrantTypes, s.RedirectUris, s.PostLogoutRedirectUris = []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE}, nil, nil
	id, secret := w.client(t, s)
	client, err := rp.NewRelyingPartyOIDC(t.Context(), w.issuer, id, secret, "", []string{"openid"}, rp.WithAuthStyle(oauth2.AuthStyleInHeader))
	if err != nil {
		t.Fatal(err)
	}
	begun, err := rp.DeviceAuthorization(t.Context(), []string{"openid"}, client, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := w.visitor(t)
	v.open(begun.VerificationURIComplete)
	v.send("user_code", begun.UserCode)
	v.signIn("ada@example.com")
	v.send("decision", "allow")
	given, err := rp.DeviceAccessToken(t.Context(), begun.DeviceCode, time.Duration(begun.Interval)*time.Second, client)
	if err != nil {
		t.Fatal(err)
	}
	if claims(t, given.AccessToken)["sub"] != user {
		t.Errorf("given %+v", given)
	}
}

package accesstoken_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	k := newKey(t, "eu-west.k1")
	v := verifier(t, k)
	token := k.sign(t, "at+jwt", claims(with("cnf", map[string]string{"jkt": "x"}), with("act", map[string]any{"sub": "usr_2", "client_id": "cli_2"})))
	want := accesstoken.Claims{
		Issuer: issuer, Subject: "usr_1", Audience: []string{"https://other.example.com", resource},
		Expires: now.Unix() + 240, IssuedAt: now.Unix() - 60, ID: "tok_1", Client: "cli_1",
		Scope: "openid meridian", Session: "ses_1", Grant: "gnt_1", Organization: "org_1",
		AuthenticatedAt: now.Unix() - 600, Context: "aal2", Methods: []string{"pwd", "otp"}, Revision: "AAAA",
		Confirmation: &accesstoken.Confirmation{Thumbprint: "x"}, Actor: &accesstoken.Actor{Subject: "usr_2", Client: "cli_2"},
	}
	for _, way := range []string{"verified", "remembered"} {
		got, err := v.Verify(token)
		if err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", way, diff)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	k, other := newKey(t, "k1"), newKey(t, "k2")
	at := func(typ string, change ...func(map[string]any)) secret.String {
		return k.sign(t, typ, claims(change...))
	}
	good := at("at+jwt").Reveal()
	same := signingKey{"k1", other.private}
	act := func(n int) any {
		var a map[string]any
		for range n {
			inner := a
			a = map[string]any{"sub": "usr_9"}
			if inner != nil {
				a["act"] = inner
			}
		}
		return a
	}
	for name, tc := range map[string]struct {
		token secret.String
		ok    bool
		// over: the signature is right, so it is no guess.
		over bool
	}{
		"good":                       {at("at+jwt"), true, false},
		"J15 application/at+jwt":     {at("application/at+jwt"), true, false},
		"from a minute ahead":        {at("at+jwt", with("iat", now.Unix()+60)), true, false},
		"one second left":            {at("at+jwt", with("exp", now.Unix()+1)), true, false},
		"four actors":                {at("at+jwt", with("act", act(4))), true, false},
		"a client's own":             {at("at+jwt", with("sub", "cli_1"), without("sid"), without("gnt"), without("org")), true, false},
		"J15 another type":           {at("logout+jwt"), false, false},
		"J15 no type":                {at("JWT"), false, false},
		"unknown key":                {other.sign(t, "at+jwt", claims()), false, false},
		"no kid":                     {signingKey{"", k.private}.sign(t, "at+jwt", claims()), false, false},
		"another's key by this name": {same.sign(t, "at+jwt", claims()), false, false},
		"changed":                    {secret.NewString(strings.Replace(good, ".", ".e30", 1)), false, false},
		"no token":                   {secret.NewString("mrdn_x"), false, false},
		"empty":                      {secret.String{}, false, false},
		"too long":                   {secret.NewString(good + strings.Repeat("A", jose.MaxToken)), false, false},
		"another issuer":             {at("at+jwt", with("iss", "https://id.example.com/")), false, true},
		"no issuer":                  {at("at+jwt", without("iss")), false, true},
		"for another resource":       {at("at+jwt", with("aud", []string{"https://other.example.com"})), false, true},
		"audience in another form":   {at("at+jwt", with("aud", resource)), false, false},
		"no audience":                {at("at+jwt", without("aud")), false, true},
		"expired just now":           {at("at+jwt", with("exp", now.Unix()), with("iat", now.Unix()-300)), false, true},
		"no expiry":                  {at("at+jwt", without("exp")), false, true},
		"an expiry with a fraction":  {at("at+jwt", with("exp", float64(now.Unix())+0.5)), false, false},
		"not made yet":               {at("at+jwt", with("iat", now.Unix()+61)), false, true},
		"made never":                 {at("at+jwt", without("iat")), false, true},
		"lives too long":             {at("at+jwt", with("exp", now.Unix()+241)), false, true},
		"ends before it begins":      {at("at+jwt", with("iat", now.Unix()+30), with("exp", now.Unix()+20)), false, true},
		"nobody's":                   {at("at+jwt", without("sub")), false, true},
		"no id":                      {at("at+jwt", without("jti")), false, true},
		"no client":                  {at("at+jwt", without("client_id")), false, true},
		"five actors":                {at("at+jwt", with("act", act(5))), false, true},
		"an actor without a name":    {at("at+jwt", with("act", map[string]any{"client_id": "cli_2"})), false, true},
	} {
		_, err := verifier(t, k).Verify(tc.token)
		if tc.ok != (err == nil) || err != nil && !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, accesstoken.ErrOver) != tc.over {
			t.Errorf("%s: %v, want over %t", name, err, tc.over)
		}
	}
}

// A token that is remembered is held to what changes all the same.
func TestRememberedTokens(t *testing.T) {
	t.Parallel()
	k := newKey(t, "k1")
	at, known, age, complete := now, keys(t, k), time.Duration(0), true
	deny := accesstoken.NewDeny(func() time.Time { return at })
	v := verifier(t, k, func(c *accesstoken.Config) {
		c.Clock = func() time.Time { return at }
		c.Keys = func() jose.Keys { return known }
		c.Age = func() (time.Duration, bool) { return age, complete }
		c.Deny = deny
	})
	token := k.sign(t, "at+jwt", claims())
	if v.Remembers(token) {
		t.Error("it is remembered before it came")
	}
	want := func(what string, reason commonv1.Reason) {
		t.Helper()
		_, err := v.Verify(token)
		if reason == 0 && err != nil || reason != 0 && !fault.Is(err, reason) {
			t.Errorf("%s: %v, want %v", what, err, reason)
		}
	}
	want("good", 0)
	if !v.Remembers(token) {
		t.Error("it is not remembered")
	}
	age = 5 * time.Second
	want("as old as may be", 0)
	age++
	want("too old", commonv1.Reason_SERVICE_UNAVAILABLE)
	age, complete = 0, false
	want("never complete", commonv1.Reason_SERVICE_UNAVAILABLE)
	complete = true
	known = keys(t, newKey(t, "k2"))
	want("its key is gone", commonv1.Reason_TOKEN_REJECTED)
	known = keys(t, k)
	want("its key is back", 0)
	at = time.Unix(now.Unix()+240, 0)
	want("expired", commonv1.Reason_TOKEN_REJECTED)
	at = now
	deny.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: "ses_1", NotBefore: now})
	want("revoked", commonv1.Reason_TOKEN_REJECTED)
}

func TestNoKeysIsNoAnswer(t *testing.T) {
	t.Parallel()
	k := newKey(t, "k1")
	v := verifier(t, k, func(c *accesstoken.Config) { c.Keys = func() jose.Keys { return jose.Keys{} } })
	if _, err := v.Verify(k.sign(t, "at+jwt", claims())); !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Errorf("%v", err)
	}
}

func TestMissingKeyIsAskedFor(t *testing.T) {
	t.Parallel()
	var asked []string
	v := verifier(t, newKey(t, "k1"), func(c *accesstoken.Config) { c.Missing = func(kid string) { asked = append(asked, kid) } })
	_, _ = v.Verify(newKey(t, "k2").sign(t, "at+jwt", claims()))
	_, _ = v.Verify(newKey(t, "k1").sign(t, "at+jwt", claims()))
	if diff := cmp.Diff([]string{"k2"}, asked); diff != "" {
		t.Error(diff)
	}
}

// The tokens that are remembered are bounded, and those in use stay.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	k := newKey(t, "k1")
	v := verifier(t, k, func(c *accesstoken.Config) { c.CacheSize = 8 })
	used := k.sign(t, "at+jwt", claims())
	first := k.sign(t, "at+jwt", claims(with("jti", "first")))
	for _, token := range []secret.String{first, used} {
		if _, err := v.Verify(token); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, err := v.Verify(k.sign(t, "at+jwt", claims())); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(used); err != nil {
			t.Fatal(err)
		}
	}
	if v.Remembers(first) || !v.Remembers(used) {
		t.Errorf("first %t, used %t", v.Remembers(first), v.Remembers(used))
	}
}

// Nobody who has no key makes a token that is taken, and what is taken is in its time.
func FuzzVerify(f *testing.F) {
	k := newKey(f, "k1")
	v := verifier(f, k)
	good := k.sign(f, "at+jwt", claims()).Reveal()
	f.Add(good)
	f.Add(k.sign(f, "JWT", claims()).Reveal())
	f.Add("eyJ.e30.")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, token string) {
		c, err := v.Verify(secret.NewString(token))
		switch {
		case err == nil && token != good:
			t.Errorf("taken: %+v", c)
		case err != nil && !fault.Is(err, commonv1.Reason_TOKEN_REJECTED):
			t.Errorf("%v", err)
		case err != nil && (c.Subject != "" || token == good):
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// What is learned while a token is looked at does not make an answer fresh that was given
// before it.
func TestVerifyAsksFirstHowOldItIs(t *testing.T) {
	t.Parallel()
	k := newKey(t, "k1")
	v := verifier(t, k, func(c *accesstoken.Config) {
		deny := c.Deny
		asked := 0
		c.Age = func() (time.Duration, bool) {
			asked++
			if asked == 1 { // the map was an hour old until it was brought up to date now
				deny.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: "ses_1", NotBefore: now})
				return time.Hour, true
			}
			return 0, true
		}
	})
	token := k.sign(t, "at+jwt", claims())
	if _, err := v.Verify(token); err == nil {
		t.Error("a token was taken that had been revoked")
	}
	if _, err := v.Verify(token); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("when it is known: %v", err)
	}
}

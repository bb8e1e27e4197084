package tokenexchange_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/tokenexchange"
)

const (
	orders  = "https://orders.example"
	billing = "https://billing.example"
	ledger  = "https://ledger.example"
)

var at = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

// api is the client of the API that was called.
func api() tokenexchange.Request {
	return tokenexchange.Request{
		Client:      tokenexchange.Client{ID: "cli_orders", Scopes: []string{"read", "write", "openid", "offline_access"}, Resources: []string{orders, billing}},
		SubjectType: tokenexchange.AccessToken,
	}
}

// called is the token that it was called with.
func called() tokenexchange.Token {
	return tokenexchange.Token{
		Subject: "usr_ada", Client: "cli_app", Organization: "org_1", Audience: []string{orders}, Scopes: []string{"read", "admin", "openid", "offline_access"},
		Expires: at.Add(time.Minute),
	}
}

// worker is the token of who acts with the API.
func worker() *tokenexchange.Token {
	return &tokenexchange.Token{
		Subject: "svc_worker", Client: "cli_orders", Organization: "org_1", Audience: []string{"https://id.example"}, Expires: at.Add(time.Hour),
	}
}

// situation is what is decided about; the tables change one.
type situation struct {
	request tokenexchange.Request
	subject tokenexchange.Token
	actor   *tokenexchange.Token
}

// acting adds a token of who acts.
func (s *situation) acting(change func(*tokenexchange.Token)) {
	s.actor, s.request.ActorType = worker(), tokenexchange.AccessToken
	change(s.actor)
}

func actors(n int) (out []tokenexchange.Actor) {
	for range n {
		out = append(out, tokenexchange.Actor{Subject: "cli_x", Client: "cli_x"})
	}
	return out
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*situation)
		code   string
	}{
		"no type":                {func(s *situation) { s.request.SubjectType = "" }, tokenexchange.InvalidRequest},
		"an ID token":            {func(s *situation) { s.request.SubjectType = "urn:ietf:params:oauth:token-type:id_token" }, tokenexchange.InvalidRequest},
		"a refresh token wanted": {func(s *situation) { s.request.RequestedType = "urn:ietf:params:oauth:token-type:refresh_token" }, tokenexchange.InvalidRequest},
		"a type of no actor":     {func(s *situation) { s.request.ActorType = tokenexchange.AccessToken }, tokenexchange.InvalidRequest},
		"an actor of no type":    {func(s *situation) { s.acting(func(*tokenexchange.Token) { s.request.ActorType = "" }) }, tokenexchange.InvalidRequest},

		"O18 a token that was sent to another API":   {func(s *situation) { s.subject.Audience = []string{ledger} }, tokenexchange.InvalidRequest},
		"O18 a token for the provider":               {func(s *situation) { s.subject.Audience = []string{"https://id.example"} }, tokenexchange.InvalidRequest},
		"O18 a token for nobody":                     {func(s *situation) { s.subject.Audience = nil }, tokenexchange.InvalidRequest},
		"O18 an audience that begins as the own":     {func(s *situation) { s.subject.Audience = []string{orders + "/"} }, tokenexchange.InvalidRequest},
		"O18 a client's own token for another":       {func(s *situation) { s.subject.Client, s.subject.Audience = "cli_orders", []string{ledger} }, tokenexchange.InvalidRequest},
		"O18 another organization's":                 {func(s *situation) { s.request.Client.Organization = "org_2" }, tokenexchange.InvalidRequest},
		"O18 of no organization, to a client of one": {func(s *situation) { s.request.Client.Organization, s.subject.Organization = "org_1", "" }, tokenexchange.InvalidRequest},
		"O15 a bound token becomes a bearer token":   {func(s *situation) { s.subject.Bound = true }, tokenexchange.InvalidRequest},
		"four act already":                           {func(s *situation) { s.subject.Actors = actors(4) }, tokenexchange.InvalidRequest},

		"O18 an actor of another organization": {func(s *situation) { s.acting(func(a *tokenexchange.Token) { a.Organization = "org_2" }) }, tokenexchange.InvalidRequest},
		"O18 another's actor":                  {func(s *situation) { s.acting(func(a *tokenexchange.Token) { a.Client = "cli_app" }) }, tokenexchange.InvalidRequest},
		"O15 a bound actor":                    {func(s *situation) { s.acting(func(a *tokenexchange.Token) { a.Bound = true }) }, tokenexchange.InvalidRequest},
		"somebody acts for the actor":          {func(s *situation) { s.acting(func(a *tokenexchange.Token) { a.Actors = actors(1) }) }, tokenexchange.InvalidRequest},
		"the actor is the subject":             {func(s *situation) { s.acting(func(a *tokenexchange.Token) { a.Subject = s.subject.Subject }) }, tokenexchange.InvalidRequest},

		"O18 a scope that only the client has":  {func(s *situation) { s.request.Scopes = []string{"write"} }, tokenexchange.InvalidScope},
		"O18 a scope that only the subject has": {func(s *situation) { s.request.Scopes = []string{"read", "admin"} }, tokenexchange.InvalidScope},
		"O18 a scope that nobody has":           {func(s *situation) { s.request.Scopes = []string{"root"} }, tokenexchange.InvalidScope},
		"O18 what outlives the session":         {func(s *situation) { s.request.Scopes = []string{"offline_access"} }, tokenexchange.InvalidScope},
		"O18 an API that is not the client's":   {func(s *situation) { s.request.Targets = []string{billing, ledger} }, tokenexchange.InvalidTarget},
		"O18 the provider":                      {func(s *situation) { s.request.Targets = []string{"https://id.example"} }, tokenexchange.InvalidTarget},
		"O18 the provider, as if it were the client's": {func(s *situation) {
			s.request.Targets, s.request.Provider, s.request.Client.Resources = []string{billing}, billing, []string{orders, billing}
		}, tokenexchange.InvalidTarget},
		"O18 an empty audience": {func(s *situation) { s.request.Targets = []string{""} }, tokenexchange.InvalidTarget},
		"for nothing":           {func(s *situation) { s.subject.Audience = []string{"cli_orders"} }, tokenexchange.InvalidTarget},
		"for too much": {func(s *situation) {
			for i := range 11 {
				s.request.Targets = append(s.request.Targets, "https://"+string(rune('a'+i))+".example")
			}
			s.request.Client.Resources = append(slices.Clone(s.request.Targets), orders)
		}, tokenexchange.InvalidTarget},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := situation{request: api(), subject: called()}
			tc.change(&s)
			given, err := s.request.Decide(s.subject, s.actor)
			if err == nil || err.Code != tc.code || !cmp.Equal(given, tokenexchange.Given{}) {
				t.Errorf("%+v, %v; want %s", given, err, tc.code)
			}
		})
	}
}

func TestGiven(t *testing.T) {
	t.Parallel()
	client := tokenexchange.Actor{Subject: "cli_orders", Client: "cli_orders"}
	for name, tc := range map[string]struct {
		change func(*situation)
		want   func(*tokenexchange.Given)
	}{
		"as it was, and the client shows": {},
		"the next API":                    {func(s *situation) { s.request.Targets = []string{billing, billing} }, func(g *tokenexchange.Given) { g.Audience = []string{billing} }},
		"fewer scopes":                    {func(s *situation) { s.request.Scopes = []string{"openid", "openid"} }, func(g *tokenexchange.Given) { g.Scopes = []string{"openid"} }},
		"it says the type":                {func(s *situation) { s.request.RequestedType = tokenexchange.AccessToken }, nil},
		"named itself": {func(s *situation) {
			s.subject.Audience, s.request.Targets = []string{"cli_orders"}, []string{billing}
		}, func(g *tokenexchange.Given) { g.Audience = []string{billing} }},
		"only the own of several audiences": {func(s *situation) { s.subject.Audience = []string{ledger, orders} }, nil},
		"bound, and proved":                 {func(s *situation) { s.subject.Bound, s.request.Proved = true, true }, nil},
		"in its own organization":           {func(s *situation) { s.request.Client.Organization = "org_1" }, nil},
		"a worker acts": {func(s *situation) { s.acting(func(*tokenexchange.Token) {}) }, func(g *tokenexchange.Given) {
			g.Actors = []tokenexchange.Actor{{Subject: "svc_worker", Client: "cli_orders"}}
		}},
		"the actor's token ends first": {func(s *situation) { s.acting(func(a *tokenexchange.Token) { a.Expires = at }) }, func(g *tokenexchange.Given) {
			g.Actors, g.Expires = []tokenexchange.Actor{{Subject: "svc_worker", Client: "cli_orders"}}, at
		}},
		"an actor who called the API": {func(s *situation) {
			s.acting(func(a *tokenexchange.Token) { a.Client, a.Audience = "cli_app", []string{billing} })
		}, func(g *tokenexchange.Given) {
			g.Actors = []tokenexchange.Actor{{Subject: "svc_worker", Client: "cli_app"}}
		}},
		"three act already": {func(s *situation) { s.subject.Actors, s.subject.Authorized = actors(3), "cli_first" }, func(g *tokenexchange.Given) {
			g.Actors, g.Authorized = append([]tokenexchange.Actor{client}, actors(3)...), "cli_first"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := situation{request: api(), subject: called()}
			if tc.change != nil {
				tc.change(&s)
			}
			want := tokenexchange.Given{
				Audience: []string{orders}, Scopes: []string{"read", "openid"}, Expires: at.Add(time.Minute),
				Actors: []tokenexchange.Actor{client}, Authorized: "cli_app",
			}
			if tc.want != nil {
				tc.want(&want)
			}
			got, err := s.request.Decide(s.subject, s.actor)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// Nothing that is given is more than there was, whatever is asked for; and it is given or
// refused, never both.
func FuzzDecide(f *testing.F) {
	f.Add("read", orders, orders, "org_1", uint8(2), true, false)
	f.Add("offline_access", ledger, "cli_orders", "", uint8(4), false, true)
	f.Fuzz(func(t *testing.T, scope, target, audience, organization string, depth uint8, bound, proved bool) {
		r, subject := api(), called()
		r.Scopes, r.Targets, r.Proved, r.Client.Organization = []string{scope}, []string{target}, proved, organization
		subject.Audience, subject.Bound, subject.Actors = []string{audience}, bound, actors(int(depth%6))
		got, err := r.Decide(subject, nil)
		if err != nil {
			if !cmp.Equal(got, tokenexchange.Given{}) {
				t.Errorf("refused, and %+v", got)
			}
			return
		}
		for _, s := range got.Scopes {
			if !slices.Contains(subject.Scopes, s) || !slices.Contains(r.Client.Scopes, s) || s == "offline_access" {
				t.Errorf("scope %q", s)
			}
		}
		if len(got.Audience) == 0 || !slices.Contains(r.Client.Resources, got.Audience[0]) || got.Expires.After(subject.Expires) ||
			len(got.Actors) != len(subject.Actors)+1 || len(got.Actors) > tokenexchange.MaxActors || bound && !proved ||
			organization != "" && organization != subject.Organization {
			t.Errorf("given %+v of %+v", got, subject)
		}
	})
}

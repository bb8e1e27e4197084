package door_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
)

const (
	ada   = "email=ada@example.com"
	grace = "email=grace@example.com"
	admit = "factor=password&password=" + "+right+with+spaces+"
)

// Each row is what somebody does, and what each of it shows.
func TestFlows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type act struct{ path, form, want string }
	newOne := "factor=new_password&new_password=correct+horse+battery"
	for name, tc := range map[string]struct {
		acts    []act
		prepare func(*site)
		request string // "": app
		created bool
		calls   []string
	}{
		"password": {
			acts: []act{
				{"/sign-in", "", "Identifier"},
				{"/sign-in", ada, "Factor password"},
				{"/sign-in/prove", "factor=password&password=guess", "Factor password password.wrong"},
				{"/sign-in/prove", admit, "signed in"},
			},
			calls: []string{"look up", "start", "continue", "continue", "finish"},
		},
		"for the account page": {
			request: "-",
			acts:    []act{{"/sign-in", "", "Identifier"}, {"/sign-in", ada, "Factor password"}, {"/sign-in/prove", admit, "signed in"}},
		},
		"password and TOTP": {
			acts: []act{
				{"/sign-in", grace, "Factor password"},
				{"/sign-in/prove", admit, "Factor totp"},
				{"/sign-in/prove", "factor=totp&totp=000000", "Factor totp code.wrong"},
				{"/sign-in/prove", "factor=totp&totp=+123456+", "signed in"},
			},
		},
		"password and a recovery code, which was chosen": {
			acts: []act{
				{"/sign-in", grace, "Factor password"},
				{"/sign-in/prove", admit, "Factor totp"},
				{"/sign-in/way", "factor=recovery_code", "Factor recovery_code"},
				{"/sign-in/prove", "factor=recovery_code&recovery_code=x", "Factor recovery_code code.wrong"},
				{"/sign-in/prove", "factor=recovery_code&recovery_code=abcd-efgh", "signed in"},
			},
		},
		"a code by mail, which was chosen": {
			acts: []act{
				{"/sign-in", ada, "Factor password"},
				{"/sign-in/way", "factor=email_code", "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code=00000000", "Factor email_code code.wrong"},
				{"/sign-in/way", "factor=email_code", "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "signed in"},
			},
			calls: []string{"look up", "start", "challenge", "continue", "challenge", "continue", "finish"},
		},
		"a code by mail, which is sent where it comes first": {
			prepare: func(s *site) { s.identity.letters = true },
			acts: []act{
				{"/sign-in", ada, "Factor email_code"}, {"/sign-in/prove", "factor=email_code&email_code={code}", "signed in"},
			},
			calls: []string{"look up", "start", "challenge", "continue", "finish"},
		},
		"a code by mail, which is sent where it comes next": {
			prepare: func(s *site) { s.identity.mailNext = true },
			acts: []act{
				{"/sign-in", ada, "Factor password"},
				{"/sign-in/prove", admit, "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "signed in"},
			},
			calls: []string{"look up", "start", "continue", "challenge", "continue", "finish"},
		},
		"a passkey, which was chosen": {
			acts: []act{
				{"/sign-in", ada, "Factor password"},
				{"/sign-in/way", "factor=passkey", "Factor passkey"},
				{"/sign-in/prove", `factor=passkey&passkey={"id":"grace@example.com"}`, "Factor passkey passkey.wrong"},
				{"/sign-in/prove", `factor=passkey&passkey={"id":"ada@example.com"}`, "signed in"},
			},
		},
		"a passkey that says who it is": {
			acts: []act{
				{"/sign-in/passkey-options", "factor=passkey", "200"}, {"/sign-in/prove", `discoverable=yes&factor=passkey&passkey={"id":"ada@example.com"}`, "signed in"},
			},
			calls: []string{"start", "challenge", "continue", "finish"},
		},
		"a passkey that says who it is, and is not taken at first": {
			acts: []act{
				{"/sign-in", ada, "Factor password"},
				{"/sign-in/passkey-options", "x=1", "200"},
				{"/sign-in/prove", `discoverable=yes&factor=passkey&passkey={"id":"nobody"}`, "Identifier passkey.wrong"},
				{"/sign-in/prove", "discoverable=yes&factor=passkey&passkey=", "Identifier"},
				{"/sign-in/passkey-options", "x=1", "200"},
				{"/sign-in/prove", "discoverable=yes&factor=passkey&passkey=", "Identifier passkey.wrong"},
				{"/sign-in/prove", admit, "signed in"},
			},
		},
		"a passkey is offered, and somebody goes on with a password": {
			acts: []act{
				{"/sign-in", ada, "Factor password"},
				{"/sign-in/passkey-options", "x=1", "200"},
				{"/sign-in/prove", admit, "signed in"},
			},
		},
		"a passkey that says who it is, on a page of its own": {
			acts: []act{
				{"/sign-in/way", "factor=passkey", "Factor passkey"}, {"/sign-in/prove", `factor=passkey&passkey={"id":"ada@example.com"}`, "signed in"},
			},
			calls: []string{"start", "challenge", "continue", "finish"},
		},
		"a link by mail, which is only looked at by a program": {
			prepare: func(s *site) { s.identity.letters = true },
			acts: []act{
				{"/sign-in", ada, "Factor email_code"},
				{"(link)", "", ""},
				{"/sign-in/link?token={link}", "", "LinkArrived"},
				{"/sign-in/link", "token=another", "Factor email_code link.wrong"},
				{"/sign-in/link?token={link}", "", "LinkArrived"},
				{"/sign-in/link", "token={link}", "signed in"},
			},
		},
		"sign up": {
			acts: []act{
				{"/sign-up", "", "SignUp"},
				{"/sign-up", "email=new@example.com", "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "Factor new_password"},
				{"/sign-in/prove", "factor=new_password&new_password=short", "Factor new_password password.policy"},
				{"/sign-in/prove", "factor=new_password&new_password=", "Factor new_password password.policy"},
				{"/sign-in/prove", newOne, "Name"},
				{"/sign-in/name", "name=+", "Name name.invalid"},
				{"/sign-in/name", "name=<b>", "Name name.invalid"},
				{"/sign-in/name", "name=Newcomer", "signed in"},
			},
			created: true,
			calls:   []string{"look up", "start", "challenge", "continue", "continue", "continue", "finish", "finish"},
		},
		"sign up without a password": {
			acts: []act{
				{"/sign-up", "email=new@example.com", "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "Factor new_password"},
				{"/sign-in/way", "factor=no_password", "Name"},
				{"/sign-in/name", "name=Newcomer", "signed in"},
			},
			created: true,
		},
		"sign up where a password is needed": {
			prepare: func(s *site) { s.identity.passwordNeeded = true },
			acts: []act{
				{"/sign-up", "email=new@example.com", "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "Factor new_password"},
				{"/sign-in/way", "factor=no_password", "Factor new_password"},
				{"/sign-in/name", "name=Newcomer", "Factor new_password"},
				{"/sign-in/prove", newOne, "Name"},
				{"/sign-in/name", "name=Newcomer", "signed in"},
			},
			created: true,
		},
		"sign up with an address that gets a user meanwhile": {
			acts: []act{
				{"/sign-up", "email=new@example.com", "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "Factor new_password"},
				{"/sign-in/prove", newOne, "Name"},
				{"(user)", "", ""},
				{"/sign-in/name", "name=Newcomer", "Factor totp"},
				{"/sign-in/prove", "factor=totp&totp=123456", "signed in"},
			},
		},
		"sign up, as the client asks": {
			prepare: func(s *site) { s.pending["app"] = door.Pending{ID: "app", Create: true} },
			acts:    []act{{"/sign-in", "", "SignUp"}, {"/sign-in?create=no", "", "Identifier"}, {"/sign-in", ada, "Factor password"}, {"/sign-in/prove", admit, "signed in"}},
		},
		"recovery": {
			acts: []act{
				{"/recover", "", "Recover"},
				{"/recover", grace, "Factor email_code"},
				{"/sign-in/prove", "factor=email_code&email_code={code}", "Factor totp"},
				{"/sign-in/prove", "factor=totp&totp=123456", "Factor new_password"},
				{"/sign-in/prove", newOne, "signed in"},
			},
			calls: []string{"look up", "start", "challenge", "continue", "continue", "continue", "finish"},
		},
		"step-up (O24)": {
			prepare: func(s *site) {
				s.pending["app"] = door.Pending{ID: "app", StepUp: s.identity.users["grace@example.com"].id, AMR: []string{"pwd"}, ACR: "aal2"}
			},
			acts: []act{
				{"/sign-in", "", "Factor totp"}, {"/sign-in/prove", "factor=totp&totp=1", "Factor totp code.wrong"}, {"/sign-in/prove", "factor=totp&totp=123456", "signed in"},
			},
			calls: []string{"start", "continue", "continue", "finish"},
		},
		"somebody else signs in, in place of a step-up": {
			prepare: func(s *site) {
				s.pending["app"] = door.Pending{ID: "app", StepUp: s.identity.users["grace@example.com"].id, ACR: "aal2"}
			},
			acts: []act{{"/sign-in", ada, "Factor password"}, {"/sign-in/prove", admit, "signed in"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.begin()
			if tc.prepare != nil {
				tc.prepare(s)
			}
			b := s.browser(t)
			request := map[string]string{"": "app", "-": ""}[tc.request]
			for _, a := range tc.acts {
				var p page
				switch {
				case a.path == "(link)": // as if the letter had one
					s.identity.do(func() {
						s.identity.latest.link, s.identity.latest.asked = rand.Text(), append(s.identity.latest.asked, link)
					})
					continue
				case a.path == "(user)":
					s.identity.do(func() { s.identity.add("new@example.com").totp = true })
					continue
				case a.form != "":
					p = b.post(a.path, s.fill(a.form)+"&request="+request)
				case strings.Contains(a.path, "token="): // a letter names no request
					p = b.get(s.fill(a.path))
				case strings.Contains(a.path, "?"):
					p = b.get(a.path + "&request=" + request)
				default:
					p = b.get(a.path + "?request=" + request)
				}
				if p.String() != a.want {
					t.Fatalf("%s %s shows %s, want %s\n%s", a.path, a.form, p, a.want, p.body)
				}
				if form, _ := p.view["Request"].(string); p.name != "" && p.name != "signed in" && form != request {
					t.Errorf("%s: the page is of request %q, want %q", a.path, form, request)
				}
			}
			if len(s.results) != 1 || s.results[0].GetCreated() != tc.created {
				t.Errorf("signed in %v", s.results)
			}
			if want := map[bool]string{true: "/account", false: "/continue?request=" + request}[request == ""]; b.passed[len(b.passed)-1] != want {
				t.Errorf("led to %v, want %s", b.passed, want)
			}
			if b.cookie(authenticationCookie) != "" || b.cookie(deviceCookie) == "" || b.cookie(sessionCookie) == "" {
				t.Error("the cookies are not those of somebody who has signed in")
			}
			if calls := s.identity.taken(); tc.calls != nil && !slices.Equal(calls, tc.calls) {
				t.Errorf("calls %q, want %q", calls, tc.calls)
			}
		})
	}
}

// What identity is told when an authentication starts.
func TestStarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	organization, another := id.New(id.Organization), id.New(id.Organization)
	for name, tc := range map[string]struct {
		pending door.Pending
		path    string // "": /sign-in
		email   string
		accept  string
		want    *identityv1.StartAuthenticationRequest
	}{
		"an address of a domain of nobody": {email: "a@nobody.example", want: &identityv1.StartAuthenticationRequest{Email: "a@nobody.example"}},
		"of a domain of an organization": {
			email: "+a@Proved.example+", want: &identityv1.StartAuthenticationRequest{Email: "a@Proved.example", Organization: organization},
		},
		"another form of the @ leads around no policy": {
			email: "a" + url.QueryEscape("＠") + "proved.example", want: nil,
		},
		"of a domain of two organizations": {email: "a@shared.example", want: &identityv1.StartAuthenticationRequest{Email: "a@shared.example"}},
		"the request names the organization": {
			pending: door.Pending{Organization: another, ACR: "aal2"}, email: "a@proved.example",
			want: &identityv1.StartAuthenticationRequest{Email: "a@proved.example", Organization: another, Acr: "aal2"},
		},
		"sign-up": {path: "/sign-up", email: "a@proved.example", want: &identityv1.StartAuthenticationRequest{
			Purpose: identityv1.Purpose_PURPOSE_SIGN_UP, Email: "a@proved.example", Organization: organization,
		}},
		"recovery": {path: "/recover", email: "a@b.example", want: &identityv1.StartAuthenticationRequest{
			Purpose: identityv1.Purpose_PURPOSE_RECOVERY, Email: "a@b.example",
		}},
		"the client's language": {
			pending: door.Pending{Locales: []string{"!", "de-CH", "fr"}}, accept: "en", email: "a@b.example",
			want: &identityv1.StartAuthenticationRequest{Email: "a@b.example", Locale: "de-CH"},
		},
		"the browser's language": {
			accept: "fr;q=0.5, de", email: "a@b.example", want: &identityv1.StartAuthenticationRequest{Email: "a@b.example", Locale: "de"},
		},
		"a language that cannot be read": {
			accept: "!!", email: "a@b.example", want: &identityv1.StartAuthenticationRequest{Email: "a@b.example"},
		},
		"a sign-in in place of a step-up names no user": {
			pending: door.Pending{StepUp: id.New(id.User), AMR: []string{"pwd"}}, email: "a@b.example",
			want: &identityv1.StartAuthenticationRequest{Email: "a@b.example"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.begin()
			s.identity.domains["proved.example"], s.identity.domains["shared.example"] = []string{organization}, []string{organization, another}
			tc.pending.ID = "app"
			s.pending["app"] = tc.pending
			b := s.browser(t)
			b.put(deviceCookie, "known")
			path := tc.path
			if path == "" {
				path = "/sign-in"
			}
			b.post(path, "request=app&email="+tc.email, "Accept-Language", tc.accept)
			i := slices.Index(s.identity.calls, "start")
			if i < 0 {
				t.Fatal("nothing was started")
			}
			got := s.identity.requests[i].(*identityv1.StartAuthenticationRequest)
			if tc.want == nil {
				if got.GetOrganization() != organization {
					t.Errorf("the policy of %q holds, want the organization's", got.GetOrganization())
				}
				return
			}
			if c := got.GetClient(); c.GetIp() != "127.0.0.1" || c.GetDevice() != "known" {
				t.Errorf("client %v", c)
			}
			purpose := max(tc.want.GetPurpose(), identityv1.Purpose_PURPOSE_SIGN_IN)
			if got.GetPurpose() != purpose || got.GetEmail() != tc.want.GetEmail() || got.GetOrganization() != tc.want.GetOrganization() ||
				got.GetAcr() != tc.want.GetAcr() || got.GetLocale() != tc.want.GetLocale() || got.GetUser() != "" || len(got.GetAmr()) > 0 {
				t.Errorf("started %v, want %v", got, tc.want)
			}
		})
	}
}

// A step-up that proves the address asks for that and for no level.
func TestStepUpProvesTheAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	user := s.identity.users["ada@example.com"].id
	for _, prove := range []bool{true, false} {
		s.pending["app"] = door.Pending{ID: "app", StepUp: user, AMR: []string{"pwd"}, ProveAddress: prove}
		s.browser(t).get("/sign-in?request=app")
		requests := s.identity.requests
		got := requests[slices.Index(s.identity.calls, "start")].(*identityv1.StartAuthenticationRequest)
		if got.GetProveAddress() != prove || got.GetUser() != user || got.GetAcr() != "" || got.GetPurpose() != identityv1.Purpose_PURPOSE_STEP_UP {
			t.Errorf("started %v, want it to prove the address: %t", got, prove)
		}
		s.identity.begin()
		user = s.identity.users["ada@example.com"].id
	}
}

// O24: a step-up is of the user who is signed in, with what that one has proved, and
// reaches what is asked for.
func TestStepUpStarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	user, organization := s.identity.users["grace@example.com"].id, id.New(id.Organization)
	s.pending["app"] = door.Pending{ID: "app", StepUp: user, AMR: []string{"pwd"}, ACR: "aal2", Organization: organization, Email: "ada@example.com"}
	s.browser(t).get("/sign-in?request=app")
	got := s.identity.requests[0].(*identityv1.StartAuthenticationRequest)
	if got.GetPurpose() != identityv1.Purpose_PURPOSE_STEP_UP || got.GetUser() != user || !slices.Equal(got.GetAmr(), []string{"pwd"}) ||
		got.GetAcr() != "aal2" || got.GetOrganization() != organization || got.GetEmail() != "" {
		t.Errorf("started %v", got)
	}
}

// O22: pages, their order, headers and calls are the same for an address that somebody
// has and one that nobody has, until the first proof is right.
func TestNothingTellsWhetherThereIsAUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type walk struct {
		shown []string
		calls []string
	}
	for _, path := range []string{"/sign-in", "/sign-up", "/recover"} {
		for _, letters := range []bool{false, true} {
			var walks []walk
			s.begin()
			s.identity.letters = letters
			for _, email := range []string{"ada@example.com", "eve@example.com", "mallory@example.com"} {
				b := s.browser(t)
				var w walk
				note := func(p page) {
					p.header.Del("Date")
					// Beside the address, as everybody typed it, nothing may differ.
					w.shown = append(w.shown, strings.ReplaceAll(fmt.Sprint(p.status, p.header["Retry-After"], len(p.header["Set-Cookie"]), b.passed, p.body), email, "EMAIL"))
				}
				note(b.post(path, "request=app&email="+email))
				note(b.get("/sign-in/prove?request=app"))
				for _, form := range []string{
					"factor=password&password=guess", "factor=email_code&email_code=000", "factor=totp&totp=1", "factor=passkey&passkey={}",
					"factor=new_password&new_password=correct+horse+battery", "factor=recovery_code&recovery_code=1",
				} {
					note(b.post("/sign-in/prove", "request=app&"+form))
				}
				for _, way := range []string{"email_code", "passkey", "totp", "recovery_code", "password", "new_password", "no_password"} {
					note(b.post("/sign-in/way", "request=app&factor="+way))
				}
				note(b.post("/sign-in/name", "request=app&name=Eve"))
				note(b.post("/sign-in/link", "request=app&token=guess"))
				w.calls = s.identity.taken()
				walks = append(walks, w)
			}
			for _, w := range walks[1:] {
				if !slices.Equal(w.calls, walks[0].calls) {
					t.Errorf("%s: calls %q and %q", path, walks[0].calls, w.calls)
				}
				for i := range w.shown {
					if w.shown[i] != walks[0].shown[i] {
						t.Errorf("%s, step %d:\n%s\n%s", path, i, walks[0].shown[i], w.shown[i])
					}
				}
			}
		}
	}
}

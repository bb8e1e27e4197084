package door_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
)

// posts are all forms of the door, with what is in them.
var posts = map[string]string{
	"/sign-in": ada, "/sign-up": ada, "/recover": ada, "/sign-in/prove": admit, "/sign-in/way": "factor=email_code",
	"/sign-in/name": "name=Eve", "/sign-in/link": "token=abc", "/sign-in/passkey-options": "factor=passkey",
}

// O07: what another site's page posts does nothing, whatever the browser holds: nobody
// is signed in as somebody else.
func TestOtherSitesPostNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	for path, form := range posts {
		for name, header := range map[string][]string{
			"cross-site":         {"Sec-Fetch-Site", "cross-site"},
			"same-site":          {"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example"},
			"an old browser":     {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			"a sandboxed frame":  {"Sec-Fetch-Site", "", "Origin", "null"},
			"its own, cross-sit": {"Sec-Fetch-Site", "cross-site", "Origin", s.URL},
		} {
			b.post("/sign-in", ada+"&request=app")
			before := b.cookie(authenticationCookie)
			s.identity.taken()
			if p := b.post(path, form+"&request=app", header...); p.status != http.StatusForbidden || len(p.header["Set-Cookie"]) > 0 {
				t.Errorf("%s from %s: %s", path, name, p)
			}
			if calls := s.identity.taken(); len(calls) > 0 || b.cookie(authenticationCookie) != before || len(s.results) > 0 {
				t.Errorf("%s from %s did %q", path, name, calls)
			}
		}
	}
}

// What cannot be read in one way only is refused, before anybody is asked.
func TestForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	b.post("/sign-in", ada+"&request=app")
	s.identity.taken()
	for path, form := range posts {
		field, _, _ := strings.Cut(form, "=")
		for name, tc := range map[string]struct {
			form   string
			header []string
		}{
			"a field twice":        {form: form + "&" + field + "=other"},
			"the request twice":    {form: form + "&request=other"},
			"an unknown one twice": {form: form + "&x=1&x=1"},
			"a null byte":          {form: form + "%00"},
			"no UTF-8":             {form: form + "%ff"},
			"broken escapes":       {form: form + "%zz"},
			"huge":                 {form: form + "&x=" + strings.Repeat("x", 160<<10)},
			"JSON":                 {form: form, header: []string{"Content-Type", "application/json"}},
			"text":                 {form: form, header: []string{"Content-Type", "text/plain"}},
			"multipart":            {form: form, header: []string{"Content-Type", "multipart/form-data; boundary=x"}},
			"no type":              {form: form, header: []string{"Content-Type", ""}},
		} {
			if p := b.post(path, tc.form+"&request=app", tc.header...); p.status != http.StatusBadRequest {
				t.Errorf("%s with %s: %s, want 400", path, name, p)
			}
		}
	}
	for _, path := range []string{
		"/sign-in?request=app&request=other", "/sign-in/link?token=a&token=b", "/sign-in/prove?request=app%00", "/sign-up?request=%ff", "/recover?request=%zz",
	} {
		if p := b.get(path); p.status != http.StatusBadRequest {
			t.Errorf("%s: %s, want 400", path, p)
		}
	}
	if calls := s.identity.taken(); len(calls) > 0 {
		t.Errorf("calls %q", calls)
	}
	// What is in the URL of a post is no field.
	if p := b.post("/sign-in/prove?factor=password&password=+right+with+spaces+", "request=app"); p.String() != "Factor password" || len(s.results) > 0 {
		t.Errorf("a proof in a URL: %s", p)
	}
	// The largest answer of a passkey passes.
	if p := b.post("/sign-in/prove", "request=app&factor=passkey&passkey="+strings.Repeat("%7B", 50_000)); p.status != http.StatusOK {
		t.Errorf("a large passkey: %s", p)
	}
}

// O22, O24: what a browser holds is of one request, of one browser, and not to be
// guessed.
func TestCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	held := func(t *testing.T) (*browser, string) {
		t.Helper()
		b := s.browser(t)
		b.post("/sign-in", ada+"&request=app")
		return b, b.cookie(authenticationCookie)
	}
	t.Run("their attributes", func(t *testing.T) {
		b, _ := held(t)
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := b.post("/sign-in", ada+"&request=app")
		if p.status != http.StatusSeeOther || p.header.Get("Location") != "/sign-in/prove?request=app" || p.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d to %q", p.status, p.header)
		}
		given := p.header.Get("Set-Cookie")
		if !strings.HasPrefix(given, authenticationCookie+"=aut_") || !strings.HasSuffix(given, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
			t.Error(given)
		}
		p = b.post("/sign-in/prove", admit+"&request=app")
		given = strings.Join(p.header["Set-Cookie"], "\n")
		for _, want := range []string{
			authenticationCookie + "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
			"; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax",
		} {
			if !strings.Contains(given, want) {
				t.Errorf("%s\nhas no %s", given, want)
			}
		}
	})
	t.Run("of another request", func(t *testing.T) {
		b, _ := held(t)
		for _, request := range []string{"other", ""} {
			s.identity.taken()
			for path, form := range map[string]string{"/sign-in/prove": admit, "/sign-in/name": "name=Eve", "/sign-in/way": "factor=email_code"} {
				if p := b.post(path, form+"&request="+request); p.String() != "Identifier" {
					t.Errorf("%s for %q: %s", path, request, p)
				}
			}
			if calls := s.identity.taken(); len(calls) > 0 {
				t.Errorf("calls %q", calls)
			}
		}
		if p := b.post("/sign-in/prove", admit+"&request=app"); p.String() != "signed in" {
			t.Errorf("its own: %s", p)
		}
	})
	t.Run("of nobody, or forged", func(t *testing.T) {
		_, cookie := held(t)
		parts := strings.Split(cookie, ".")
		for name, forged := range map[string]string{
			"none": "", "no parts": parts[0], "another secret": strings.TrimSuffix(cookie, parts[4]) + "guess", "no secret": strings.TrimSuffix(cookie, parts[4]),
			"no id": "x." + strings.Join(parts[1:], "."), "large": cookie + strings.Repeat("x", 4000), "no base64": parts[0] + "..!.!." + parts[4],
			"a long secret": strings.TrimSuffix(cookie, parts[4]) + strings.Repeat("x", 300),
		} {
			b := s.browser(t)
			b.put(authenticationCookie, forged)
			if p := b.post("/sign-in/prove", admit+"&request=app"); p.name != "Identifier" {
				t.Errorf("%s: %s", name, p)
			}
		}
	})
	t.Run("used once", func(t *testing.T) {
		b, cookie := held(t)
		b.post("/sign-in/prove", admit+"&request=app")
		b.put(authenticationCookie, cookie)
		if p := b.post("/sign-in/prove", admit+"&request=app"); p.String() != "Identifier ended" {
			t.Errorf("again: %s", p)
		}
	})
	t.Run("another authentication has another secret", func(t *testing.T) {
		b, cookie := held(t)
		if b.post("/sign-in", ada+"&request=app"); b.cookie(authenticationCookie) == cookie {
			t.Error("the cookie stayed")
		}
	})
	t.Run("of a way that there is not", func(t *testing.T) {
		b, cookie := held(t)
		for _, way := range []string{"totp", "new_password", "no_password", "<script>", "email_link"} {
			if p := b.post("/sign-in/way", "request=app&factor="+way); p.String() != "Factor password" {
				t.Errorf("%s: %s", way, p)
			}
			b.put(authenticationCookie, strings.Replace(cookie, ".", "."+url.QueryEscape(way), 1))
			if p := b.get("/sign-in/prove?request=app"); p.String() != "Factor password" {
				t.Errorf("%s in the cookie: %s", way, p)
			}
		}
	})
}

// O22: a link proves something in the browser that asked for it only, once, and to a
// person: whatever looks at it ahead changes nothing.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.identity.letters = true
	b := s.browser(t)
	b.post("/sign-in", ada+"&request=app")
	s.identity.do(func() {
		s.identity.latest.link, s.identity.latest.asked = "token", append(s.identity.latest.asked, link)
	})
	s.identity.taken()

	elsewhere := s.browser(t)
	for _, looks := range []*browser{b, elsewhere} {
		for range 3 {
			if p := looks.get("/sign-in/link?token=token"); p.String() != "LinkArrived" || len(p.header["Set-Cookie"]) > 0 {
				t.Errorf("looked at: %s", p)
			}
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+"/sign-in/link?token=token", nil)
	if p := b.do(r); p.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %s", p)
	}
	if p := elsewhere.post("/sign-in/link", "token=token"); p.String() != "Identifier link.wrong" {
		t.Errorf("in another browser: %s", p)
	}
	if calls := s.identity.taken(); len(calls) > 0 || len(s.results) > 0 {
		t.Errorf("calls %q", calls)
	}
	for _, path := range []string{"/sign-in/link", "/sign-in/link?token=", "/sign-in/link?token=" + strings.Repeat("x", 257)} {
		if p := b.get(path); p.String() != "Identifier link.wrong" {
			t.Errorf("%.40s: %s", path, p)
		}
	}
	if p := b.get("/sign-in/link?token=token&request=gone"); p.status != http.StatusNotFound {
		t.Errorf("of a request that is over: %s", p)
	}
	if p := b.post("/sign-in/link", "token=token&request=app"); p.String() != "signed in" {
		t.Errorf("where it was asked for: %s", p)
	}
	if p := b.post("/sign-in/link", "token=token&request=app"); p.String() != "Identifier link.wrong" {
		t.Errorf("again: %s", p)
	}
}

// Pages that are only looked at begin nothing and send nothing.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	for _, path := range []string{"/sign-in", "/sign-up", "/recover", "/sign-in/prove", "/sign-in/link?token=a"} {
		if p := b.get(path); p.status != http.StatusOK || len(p.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %s", path, p)
		}
	}
	s.pending["app"] = door.Pending{ID: "app", StepUp: s.identity.users["grace@example.com"].id}
	for _, path := range []string{"/sign-in?request=app", "/sign-in/prove?request=app"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+path, nil)
		if p := b.do(r); p.status != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s: %s", path, p)
		}
	}
	if calls := s.identity.taken(); len(calls) > 0 {
		t.Errorf("calls %q", calls)
	}
}

// Where a browser goes is never what a request says.
func TestRedirectsStayHere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, at := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "/%09/evil.example"} {
		query := url.Values{}
		for _, name := range []string{"next", "return", "return_to", "redirect_uri", "continue", "url", "create"} {
			query.Set(name, at)
		}
		b := s.browser(t)
		p := b.get("/sign-in?request=app&" + query.Encode())
		passed := b.passed
		p2 := b.post("/sign-in?"+query.Encode(), ada+"&request=app&"+query.Encode())
		passed = append(passed, b.passed...)
		p3 := b.post("/sign-in/prove?"+query.Encode(), admit+"&request=app&"+query.Encode())
		passed = append(passed, b.passed...)
		if p.name != "Identifier" || p2.name != "Factor" || p3.name != "signed in" || strings.Contains(p.body+p2.body+fmt.Sprint(passed), "evil") {
			t.Errorf("%s: %s, %s, %s by %q", at, p, p2, p3, passed)
		}
	}
	for _, leads := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "account"} {
		s.leads = leads
		b := s.browser(t)
		b.post("/sign-in", ada+"&request=app")
		if p := b.post("/sign-in/prove", admit+"&request=app"); p.status != http.StatusInternalServerError {
			t.Errorf("the flow leads to %s: %s", leads, p)
		}
	}
	// Nor is a request that there is not.
	for _, request := range []string{"gone", "//evil.example"} {
		if p := s.browser(t).get("/sign-in?request=" + url.QueryEscape(request)); p.status != http.StatusNotFound {
			t.Errorf("request %s: %s", request, p)
		}
	}
}

// Each row is a refusal of identity, and what the person is told.
func TestProblems(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	refuse := func(kind fault.Kind, reason commonv1.Reason) *fault.Fault { return fault.New(kind, reason, "refused") }
	limited := refuse(fault.Exhausted, commonv1.Reason_RATE_LIMITED).Retry(90*time.Second + time.Millisecond)
	for name, tc := range map[string]struct {
		call    string
		fault   *fault.Fault
		pending door.Pending
		path    string // "": the first proof
		form    string
		want    string
		status  int // 0: 200
		retry   string
		dropped bool
	}{
		"start: too often":          {call: "start", fault: limited, path: "/sign-in", form: ada, want: "Identifier limited", status: 429, retry: "91"},
		"start: no organization":    {call: "start", fault: refuse(fault.NotFound, commonv1.Reason_NOT_FOUND), path: "/sign-in", form: ada, want: "Identifier organization_state"},
		"start: organization":       {call: "start", fault: refuse(fault.Precondition, commonv1.Reason_ORGANIZATION_STATE), path: "/sign-up", form: ada, want: "SignUp organization_state"},
		"start: no way":             {call: "start", fault: refuse(fault.Precondition, commonv1.Reason_FACTOR_UNAVAILABLE), path: "/recover", form: ada, want: "Recover factor_unavailable"},
		"start: address":            {path: "/sign-in", form: "email=ada", want: "Identifier email.invalid"},
		"start: address of a shape": {path: "/sign-up", form: "email=a@b@c", want: "SignUp email.invalid"},
		"start: no address":         {path: "/sign-up", form: "email=+", want: "SignUp email.invalid"},
		"start: long address":       {path: "/recover", form: "email=" + strings.Repeat("a", 250) + "@b.example", want: "Recover email.invalid"},
		"start: a field of ours":    {call: "start", fault: fault.Field("acr", "in", "bad"), path: "/sign-in", form: ada, want: "400", status: 400},
		"start: away":               {call: "start", fault: refuse(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE), path: "/sign-in", form: ada, want: "503", status: 503},
		"look up: away":             {call: "look up", fault: refuse(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE), path: "/sign-in", form: ada, want: "503", status: 503},
		"letter: too often":         {call: "challenge", fault: limited, path: "/recover", form: ada, want: "Recover limited", status: 429, retry: "91"},
		"way: too often":            {call: "challenge", fault: limited, path: "/sign-in/way", form: "factor=email_code", want: "Factor password limited", status: 429, retry: "91"},
		"passkey: too often":        {call: "challenge", fault: limited, path: "/sign-in/way", form: "factor=passkey", want: "Factor passkey limited", status: 429, retry: "91"},
		"passkey: not any more":     {call: "challenge", fault: refuse(fault.Precondition, commonv1.Reason_FACTOR_UNAVAILABLE), path: "/sign-in/way", form: "factor=passkey", want: "Factor passkey factor_unavailable"},
		"passkey: over":             {call: "challenge", fault: refuse(fault.Precondition, commonv1.Reason_AUTHENTICATION_ENDED), path: "/sign-in/way", form: "factor=passkey", want: "Identifier ended", dropped: true},
		"passkeys: none":            {call: "start", fault: fault.Field("email", "required", "is needed"), path: "/sign-in/passkey-options", form: "x=1", want: "404", status: 404},
		"passkeys: too often":       {call: "start", fault: limited, path: "/sign-in/passkey-options", form: "x=1", want: "429", status: 429, retry: "91"},
		"proof: too often":          {call: "continue", fault: limited, want: "Factor password limited", status: 429, retry: "91"},
		"proof: over":               {call: "continue", fault: refuse(fault.Precondition, commonv1.Reason_AUTHENTICATION_ENDED), want: "Identifier ended", dropped: true},
		"proof: suspended":          {call: "continue", fault: refuse(fault.Precondition, commonv1.Reason_USER_SUSPENDED), want: "Identifier suspended", dropped: true},
		"proof: none":               {path: "/sign-in/prove", form: "factor=password&password=", want: "Factor password password.wrong"},
		"proof: of no kind":         {path: "/sign-in/prove", form: "factor=request", want: "Factor password"},
		"proof: of a kind later":    {path: "/sign-in/prove", form: "factor=totp&totp=123456", want: "Factor password factor_unavailable"},
		"proof: long":               {path: "/sign-in/prove", form: "factor=password&password=" + strings.Repeat("x", 1025), want: "Factor password password.wrong"},
		"proof: a code of before":   {path: "/sign-in/prove", form: "factor=email_code&email_code=1", want: "Factor email_code code.wrong"},
		"proof: a passkey of before": {
			path: "/sign-in/prove", form: "factor=passkey&passkey={}", want: "Factor passkey passkey.wrong",
		},
		"a link that nobody asked for": {
			path: "/sign-in/link", form: "token=abc", want: "Factor password link.wrong",
		},
		"proof: away":             {call: "continue", fault: refuse(fault.Unavailable, commonv1.Reason_KEY_ELSEWHERE), want: "503", status: 503},
		"finish: suspended":       {call: "finish", fault: refuse(fault.Precondition, commonv1.Reason_USER_SUSPENDED), want: "Identifier suspended", dropped: true},
		"finish: organization":    {call: "finish", fault: refuse(fault.Precondition, commonv1.Reason_ORGANIZATION_STATE), want: "Identifier organization_state", dropped: true},
		"finish: away":            {call: "finish", fault: refuse(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE), want: "503", status: 503},
		"finish: too often":       {call: "finish", fault: limited, want: "400", status: 400},
		"name without a proof":    {path: "/sign-in/name", form: "name=Eve", want: "Factor password"},
		"step-up: no way":         {pending: door.Pending{StepUp: "ada@example.com"}, path: "/sign-in", want: "signed in"},
		"step-up: suspended":      {call: "start", fault: refuse(fault.Precondition, commonv1.Reason_USER_SUSPENDED), pending: door.Pending{StepUp: "grace@example.com"}, path: "/sign-in", want: "Identifier suspended"},
		"step-up: erased":         {call: "start", fault: refuse(fault.Precondition, commonv1.Reason_USER_ERASED), pending: door.Pending{StepUp: "grace@example.com"}, path: "/sign-in", want: "Identifier suspended"},
		"step-up: too often":      {call: "start", fault: limited, pending: door.Pending{StepUp: "grace@example.com"}, path: "/sign-in", want: "Identifier limited", status: 429, retry: "91"},
		"step-up: the organizati": {call: "start", fault: refuse(fault.Precondition, commonv1.Reason_ORGANIZATION_STATE), pending: door.Pending{StepUp: "grace@example.com"}, path: "/sign-in", want: "Identifier organization_state"},
	} {
		t.Run(name, func(t *testing.T) {
			s.begin()
			if u := s.identity.users[tc.pending.StepUp]; u != nil {
				tc.pending.StepUp = u.id
			}
			tc.pending.ID = "app"
			s.pending["app"] = tc.pending
			b := s.browser(t)
			if strings.HasPrefix(tc.path, "/sign-in/") || tc.path == "" {
				b.post("/sign-in", ada+"&request=app")
			}
			s.identity.do(func() {
				if tc.fault != nil {
					s.identity.refused[tc.call] = tc.fault
				}
			})
			s.identity.taken()
			path, form := tc.path, tc.form
			if path == "" {
				path, form = "/sign-in/prove", admit
			}
			var p page
			if form == "" {
				p = b.get(path + "?request=app")
			} else {
				p = b.post(path, form+"&request=app")
			}
			if tc.status == 0 {
				tc.status = http.StatusOK
			}
			if p.String() != tc.want || p.status != tc.status || p.header.Get("Retry-After") != tc.retry {
				t.Errorf("%s (%d, retry %q), want %s (%d, %q)\n%s", p, p.status, p.header.Get("Retry-After"), tc.want, tc.status, tc.retry, p.body)
			}
			if tc.dropped != (b.cookie(authenticationCookie) == "" && (tc.path == "" || strings.HasPrefix(tc.path, "/sign-in/"))) {
				t.Errorf("dropped %t, want %t", !tc.dropped, tc.dropped)
			}
			if calls := s.identity.taken(); len(calls) > 4 {
				t.Errorf("calls %q", calls)
			}
			if name == "step-up: no way" && s.noMore != 1 {
				t.Error("the flow was not told")
			}
		})
	}
}

// After too many wrong proofs it begins again, with the address that was typed.
func TestTooManyWrongProofs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	b.post("/sign-in", ada+"&request=app")
	var last page
	for range maxFailures {
		last = b.post("/sign-in/prove", "request=app&factor=password&password=guess")
	}
	if last.String() != "Identifier ended" || last.view["Email"] != "ada@example.com" || b.cookie(authenticationCookie) != "" {
		t.Errorf("%s %v", last, last.view)
	}
}

// What pages offer beside what they ask for.
func TestOtherWays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	p := b.post("/sign-in", ada+"&request=app")
	if p.others() != "passkey email_code" || !p.is("Recover") || p.is("Resend") || p.view["Email"] != "ada@example.com" || p.view["Passkey"] != "" {
		t.Errorf("password: %v", p.view)
	}
	if p = b.post("/sign-in/way", "request=app&factor=email_code"); p.others() != "password passkey" || !p.is("Resend") || p.is("Recover") {
		t.Errorf("code: %v", p.view)
	}
	if p = b.post("/sign-in/way", "request=app&factor=passkey"); p.others() != "password email_code" || p.view["Passkey"] != `{"challenge":"AAAA"}` {
		t.Errorf("passkey: %v", p.view)
	}
	if p = b.get("/recover?request=app"); p.view["Email"] != "ada@example.com" {
		t.Errorf("recovery: %v", p.view)
	}
	b.post("/sign-up", "email=new@example.com&request=app")
	p = b.post("/sign-in/prove", s.fill("factor=email_code&email_code={code}&request=app"))
	if p.others() != "no_password" {
		t.Errorf("new password: %v", p.view)
	}
	if p = b.post("/sign-in/passkey-options", "request=app"); p.body != `{"challenge":"AAAA"}` || p.header.Get("Content-Type") != "application/json" || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("options: %s", p.body)
	}
	if i := slices.Index(s.identity.calls, "start"); s.identity.requests[i].(*identityv1.StartAuthenticationRequest).GetEmail() != "ada@example.com" {
		t.Error("another address was started with")
	}
}

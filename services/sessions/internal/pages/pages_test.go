package pages_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

var update = flag.Bool("update", false, "rewrite testdata")

var languages = []string{"en", "de"}

func open(t testing.TB) *pages.Pages {
	t.Helper()
	p, err := pages.New(pages.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes a page for a browser that prefers some languages.
func write(t testing.TB, p *pages.Pages, v pages.View, languages string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", languages)
	w := httptest.NewRecorder()
	if err := p.Write(w, r, http.StatusOK, v); err != nil {
		t.Fatal(err)
	}
	return w
}

// each runs a test of every page in every language.
func each(t *testing.T, test func(t *testing.T, name, language string, w *httptest.ResponseRecorder)) {
	t.Helper()
	p := open(t)
	views := shown()
	for _, name := range slices.Sorted(maps.Keys(views)) {
		for _, language := range languages {
			t.Run(name+"/"+language, func(t *testing.T) { test(t, name, language, write(t, p, views[name], language)) })
		}
	}
}

// version is that of an asset, which changes with it.
var version = regexp.MustCompile(`\?v=[0-9a-f]{16}`)

func TestPages(t *testing.T) {
	each(t, func(t *testing.T, name, language string, w *httptest.ResponseRecorder) {
		file := filepath.Join("testdata", fmt.Sprintf("%s.%s.html", name, language))
		got := version.ReplaceAllString(w.Body.String(), "?v=VERSION")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestMarkup: no page has script or style in it, a form that is not posted, a field
// without a label, or an id twice.
func TestMarkup(t *testing.T) {
	each(t, func(t *testing.T, _, language string, w *httptest.ResponseRecorder) {
		doc := parse(t, w.Body.String())
		ids, labels, headings := map[string]bool{}, map[string]bool{}, 0
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			checkAttributes(t, n)
			if id := attribute(n, "id"); id != "" && ids[id] {
				t.Errorf("two elements are %s", id)
			} else if id != "" {
				ids[id] = true
			}
			switch n.Data {
			case "html":
				if attribute(n, "lang") != language {
					t.Errorf("the language is %q", attribute(n, "lang"))
				}
			case "style", "iframe", "object", "embed", "base":
				t.Errorf("there is a %s", n.Data)
			case "script":
				if !strings.HasPrefix(attribute(n, "src"), "/assets/") || n.FirstChild != nil {
					t.Error("there is script in the page")
				}
			case "form":
				if attribute(n, "method") != "post" {
					t.Errorf("form %s is not posted", attribute(n, "action"))
				}
			case "label":
				labels[attribute(n, "for")] = true
			case "h1":
				headings++
			}
		}
		if headings != 1 {
			t.Errorf("%d headings", headings)
		}
		for n := range doc.Descendants() {
			checkReferences(t, n, ids, labels)
		}
	})
}

func checkAttributes(t *testing.T, n *html.Node) {
	t.Helper()
	for _, a := range n.Attr {
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") {
			t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
		}
	}
}

// checkReferences expects that what an element names is there.
func checkReferences(t *testing.T, n *html.Node, ids, labels map[string]bool) {
	t.Helper()
	for _, name := range []string{"aria-describedby", "aria-labelledby", "for", "data-button"} {
		for id := range strings.FieldsSeq(attribute(n, name)) {
			if !ids[id] {
				t.Errorf("%s names %s, which is not there", name, id)
			}
		}
	}
	if n.Type == html.ElementNode && n.Data == "input" && attribute(n, "type") != "hidden" && attribute(n, "name") != "" && !labels[attribute(n, "id")] {
		t.Errorf("input %s has no label", attribute(n, "name"))
	}
}

func parse(t testing.TB, text string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// TestForms: the forms are those that the handlers of the paths expect.
func TestForms(t *testing.T) {
	p, views := open(t), shown()
	for name, want := range map[string][]string{
		"identifier_all": {
			"/sign-in request=req_1 email=alice@example.com #continue",
			"/sign-in/prove request=req_1 factor=passkey discoverable=yes passkey= #passkey",
		},
		"recover": {"/recover request=req_1 email=alice@example.com #continue"},
		"sign_up": {"/sign-up request=req_1 email= #continue"},
		"factor_password": {
			"/sign-in/prove request=req_1 factor=password password= #continue",
			"/sign-in/way request=req_1 factor=passkey #way-passkey",
			"/sign-in/way request=req_1 factor=email_code #way-email_code",
			"/sign-in/way request=req_1 factor=recovery_code #way-recovery_code",
			"/sign-in/way request=req_1 factor=telepathy #way-telepathy",
		},
		"factor_email_code":    {"/sign-in/prove request=req_1 factor=email_code email_code= #continue", "/sign-in/way request=req_1 factor=email_code #resend"},
		"factor_recovery_code": {"/sign-in/prove request=req_1 factor=recovery_code recovery_code= #continue"},
		"factor_new_password":  {"/sign-in/prove request=req_1 factor=new_password new_password= #continue"},
		"factor_passkey": {
			"/sign-in/prove request=req_1 factor=passkey passkey= #continue", "/sign-in/way request=req_1 factor=email_code #way-email_code",
		},
		"name":            {"/sign-in/name request=req_1 name= #continue"},
		"link":            {"/sign-in/link request=req_1 token=the-token #continue"},
		"organization":    {"/organization request=req_1 organization=org_1 organization=org_2 #continue"},
		"consent":         {"/consent request=req_1 decision=allow #allow decision=deny #deny"},
		"sign_out":        {"/oauth2/logout request=req_1 post_logout_redirect_uri=https://shop.example/ state=1 confirm=yes #continue"},
		"sign_out_nobody": {"/oauth2/logout confirm=yes #continue"},
		"signed_out":      nil,
		"device":          {"/device request=req_1 user_code= #continue"},
		"device_confirm":  {"/device request=req_1 user_code=WDJB-MJHT decision=allow #allow decision=deny #deny"},
		"device_done":     nil,
		"account": {
			"/account/revoke request=req_1 id=ses_1 #revoke-ses_1", "/account/revoke request=req_1 id=ses_2 #revoke-ses_2",
			"/account/revoke request=req_1 id=crd_1 #revoke-crd_1", "/account/revoke request=req_1 id=crd_2 #revoke-crd_2",
			"/account/revoke request=req_1 id=crd_3 #revoke-crd_3", "/account/revoke request=req_1 id=crd_4 #revoke-crd_4",
			"/account/revoke request=req_1 id=crd_5 #revoke-crd_5",
			"/account/revoke request=req_1 id=gnt_1 #revoke-gnt_1", "/account/revoke request=req_1 id=gnt_2 #revoke-gnt_2",
		},
		"add_totp":             {"/account/totp request=req_1 #continue"},
		"add_totp_begun":       {"/account/totp enrolment=enr_1 totp= #continue"},
		"add_passkey":          {"/account/passkey #continue"},
		"add_passkey_begun":    {"/account/passkey request=req_1 enrolment=enr_1 passkey= #continue"},
		"recovery_codes":       {"/account/recovery-codes #continue"},
		"recovery_codes_shown": nil,
		"new_password":         {"/account/password new_password= #continue"},
		"invitation":           {"/invitation token=miv_1 decision=sign_in #sign-in decision=sign_up #sign-up decision=decline #decline"},
		"invitation_own":       {"/invitation token=miv_1 decision=accept #accept decision=decline #decline"},
		"invitation_over":      nil,
		"enrol":                {"/enrol request=req_1 #later"},
		"error":                nil,
		"form_post":            {"https://shop.example/callback?a=1&b=2 code=c state=" + hostile + " submit=1 submit=2 #continue"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, forms(t, write(t, p, views[name], "en").Body.String())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// forms are the forms of a page, as text: the path, the fields, and the buttons' ids.
func forms(t *testing.T, page string) []string {
	t.Helper()
	var out []string
	for n := range parse(t, page).Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		parts := []string{attribute(n, "action")}
		for in := range n.Descendants() {
			if name := attribute(in, "name"); (in.Data == "input" || in.Data == "button") && name != "" {
				parts = append(parts, name+"="+attribute(in, "value"))
			}
			if in.Data == "button" {
				parts = append(parts, "#"+attribute(in, "id"))
			}
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

func TestLinks(t *testing.T) {
	p := open(t)
	for name, tc := range map[string]struct {
		view pages.View
		link string
	}{
		"sign up":              {pages.Identifier{Frame: pages.Frame{Request: "a&b"}, SignUp: true}, `id="sign-up" href="/sign-up?request=a%26b"`},
		"sign in":              {pages.SignUp{Frame: pages.Frame{Request: "req_1"}}, `id="sign-in" href="/sign-in?create=no&amp;request=req_1"`},
		"recover":              {pages.Factor{Frame: pages.Frame{Request: "req_1"}, Kind: "password", Recover: true}, `id="recover" href="/recover?request=req_1"`},
		"without a request":    {pages.Factor{Kind: "password", Recover: true}, `id="recover" href="/recover"`},
		"another way, off":     {pages.Factor{Kind: "password", Others: []pages.Other{{Factor: "x", Path: "//evil.example/"}}}, `action="/sign-in/way"`},
		"another way, of ours": {pages.Factor{Kind: "password", Others: []pages.Other{{Factor: "sso", Path: "/sso"}}}, `action="/sso"`},
	} {
		t.Run(name, func(t *testing.T) {
			if body := write(t, p, tc.view, "en").Body.String(); !strings.Contains(body, tc.link) {
				t.Errorf("no %s in\n%s", tc.link, body)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	p := open(t)
	for name, v := range map[string]pages.View{
		"an unknown factor":   pages.Factor{Kind: "telepathy"},
		"a script as action":  pages.FormPost{Action: "javascript:alert(1)"},
		"http elsewhere":      pages.FormPost{Action: "http://shop.example/"},
		"no action":           pages.FormPost{},
		"somebody in the URI": pages.FormPost{Action: "https://user@shop.example/"},
		"a policy's end":      pages.FormPost{Action: "https://shop.example;script-src/"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			if err := p.Write(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), http.StatusOK, v); err == nil {
				t.Error("the page is written")
			}
			if w.Body.Len() > 0 || len(w.Header()) > 0 {
				t.Error("something is written")
			}
		})
	}
}

func TestProduct(t *testing.T) {
	p, err := pages.New(pages.Config{Product: "Northwind ID"})
	if err != nil {
		t.Fatal(err)
	}
	for want, v := range map[string]pages.View{
		"Northwind ID": pages.SignedOut{},
		"Acme":         pages.SignedOut{Frame: pages.Frame{Theme: pages.Theme{Name: "Acme"}}},
	} {
		if body := write(t, p, v, "en").Body.String(); !strings.Contains(body, "– "+want+"</title>") || !strings.Contains(body, "<bdi>"+want+"</bdi>") {
			t.Errorf("not %s:\n%s", want, body)
		}
	}
}

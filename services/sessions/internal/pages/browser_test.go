package pages_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/browsertest"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

// site serves pages by name, and answers what they post with what was posted.
type site struct {
	URL   string
	pages *pages.Pages
	views map[string]pages.View
	// back is where a post to /sign-in/link leads, in place of an answer.
	back string
}

func serve(t *testing.T, views map[string]pages.View) *site {
	t.Helper()
	s := &site{pages: open(t), views: views}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", s.pages.Assets())
	mux.HandleFunc("GET /page/{name}", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept-Language", r.URL.Query().Get("language"))
		if err := s.pages.Write(w, r, http.StatusOK, s.views[r.PathValue("name")]); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /sign-in/passkey-options", func(w http.ResponseWriter, r *http.Request) {
		if http.NewCrossOriginProtection().Check(r) != nil || r.FormValue("request") == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, passkeyOptions)
	})
	mux.HandleFunc("POST /", s.posted)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL = "http://localhost:" + port(t, server)
	return s
}

func port(t *testing.T, server *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// posted answers with the fields, as text, when they come from a page of the site.
func (s *site) posted(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, "<h1 id=refused>refused</h1>", http.StatusForbidden)
		return
	}
	if s.back != "" {
		http.Redirect(w, r, s.back, http.StatusSeeOther)
		return
	}
	fields(w, r)
}

func fields(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what cannot be read is not there
	text, _ := json.Marshal(posting{r.URL.Path, r.PostForm, r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site"), r.Referer()})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<h1>posted</h1><pre id=posted>%s</pre>", strings.ReplaceAll(string(text), "<", "&lt;"))
}

// posting is what was posted.
type posting struct {
	Path    string     `json:"path"`
	Fields  url.Values `json:"fields"`
	Origin  string     `json:"origin"`
	Site    string     `json:"site"`
	Referer string     `json:"referer"`
}

func received(t *testing.T, p *browsertest.Page) posting {
	t.Helper()
	p.Wait("#posted")
	var out posting
	if err := json.Unmarshal([]byte(p.Text("#posted")), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// axe checks pages against WCAG.
func axe(t *testing.T) string {
	t.Helper()
	const path = "../../../../.tools/npm/node_modules/axe-core/axe.min.js"
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("axe-core is not installed: run infra/tools/packages.sh, which needs npm: %v", err)
	}
	return string(source)
}

// evaluate evaluates a script in a page, whatever the page's policy is.
func evaluate(t *testing.T, p *browsertest.Page, script string, out any) {
	t.Helper()
	var answer struct {
		Result    struct{ Value json.RawMessage } `json:"result"`
		Exception struct {
			Exception struct{ Description string } `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.CDP("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &answer)
	if answer.Exception.Exception.Description != "" {
		t.Fatalf("script: %s", answer.Exception.Exception.Description)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer.Result.Value, out); err != nil {
		t.Fatal(err)
	}
}

// criteria runs axe, and returns what is against WCAG 2.2, levels A and AA.
const criteria = `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
	.then(found => [...found.violations, ...found.incomplete].map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + (n.any[0] || n.all[0] || n.none[0] || {}).message).join(' | ')))`

// TestAxe: the check finds what is wrong.
func TestAxe(t *testing.T) {
	s, p := serve(t, shown()), browsertest.Open(t).Page(t)
	p.Goto(s.URL + "/page/identifier_all")
	setScheme(p, "dark")
	evaluate(t, p, axe(t)+";document.querySelector('label').remove(), document.querySelector('h1').style.color = '#333'", nil)
	var found []string
	evaluate(t, p, criteria, &found)
	if all := strings.Join(found, "\n"); len(found) != 2 || !strings.Contains(all, "color-contrast: <h1") || !strings.Contains(all, "label: <input") {
		t.Errorf("found %q", found)
	}
}

func setScheme(p *browsertest.Page, scheme string) {
	p.CDP("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// TestAccessible: every page, in every language, light and dark, keeps to WCAG 2.2 AA as
// far as a machine can tell, and fits where there is room for 320 pixels.
func TestAccessible(t *testing.T) {
	views := shown()
	for _, color := range []string{"000000", "ffffff", "777777", "ffff00", "ff0000", "0000ff"} {
		frame := pages.Frame{Client: "Example Shop", Theme: pages.Theme{Name: "Acme", Color: color}}
		views["theme_"+color] = pages.Factor{Frame: frame, Kind: "password", Recover: true, Problem: "password.wrong"}
	}
	// This one leaves at once.
	delete(views, "form_post")
	s, p, source := serve(t, views), browsertest.Open(t).Page(t), axe(t)
	setScheme(p, "light")
	for _, name := range slices.Sorted(maps.Keys(views)) {
		for _, language := range languages {
			p.Goto(s.URL + "/page/" + name + "?language=" + language)
			evaluate(t, p, source+";0", nil)
			for _, scheme := range []string{"light", "dark"} {
				setScheme(p, scheme)
				var found []string
				evaluate(t, p, criteria, &found)
				for _, f := range found {
					t.Errorf("%s, %s, %s: %s", name, language, scheme, f)
				}
			}
			if got := p.Errors(); len(got) > 0 {
				t.Errorf("%s, %s: errors of the page: %q", name, language, got)
			}
			checkNarrow(t, p, name+", "+language)
		}
	}
}

// checkNarrow expects that a page needs no scrolling to the side where there is little
// room, nor where text is twice as large.
//
// Source: WCAG 2.2, success criteria 1.4.4 and 1.4.10.
func checkNarrow(t *testing.T, p *browsertest.Page, name string) {
	t.Helper()
	p.CDP("Emulation.setDeviceMetricsOverride", map[string]any{"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": true}, nil)
	for _, size := range []string{"", "200%"} {
		var width [2]int
		evaluate(t, p, fmt.Sprintf("document.documentElement.style.fontSize = %q, [window.innerWidth, document.documentElement.scrollWidth]", size), &width)
		if width != [2]int{320, 320} {
			t.Errorf("%s: the page is %d pixels wide in %d, text %s", name, width[1], width[0], size)
		}
	}
	p.CDP("Emulation.clearDeviceMetricsOverride", nil, nil)
}

// TestForms posts forms in a browser: they are known as the site's own although no
// referrer is sent.
func TestFormsInBrowser(t *testing.T) {
	s, b := serve(t, shown()), browsertest.Open(t)
	t.Run("without script", func(t *testing.T) {
		p := b.Page(t)
		p.CDP("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
		p.Goto(s.URL + "/page/factor_password")
		p.Fill("#password", "secret")
		p.Click("#continue")
		got := received(t, p)
		if got.Path != "/sign-in/prove" || got.Fields.Get("password") != "secret" || got.Fields.Get("request") != "req_1" {
			t.Errorf("posted %+v", got)
		}
		if got.Origin != "null" || got.Site != "same-origin" || got.Referer != "" {
			t.Errorf("the browser says Origin %q, Sec-Fetch-Site %q, Referer %q", got.Origin, got.Site, got.Referer)
		}
	})
	t.Run("another site's page", func(t *testing.T) {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Referrer-Policy", "no-referrer")
			fmt.Fprintf(w, "<form method=post action=%q><button id=continue>Win</button></form>", s.URL+"/consent")
		}))
		t.Cleanup(other.Close)
		p := b.Page(t)
		p.Goto(other.URL)
		p.Click("#continue")
		p.WaitURL(s.URL)
		p.Wait("text=refused")
	})
	t.Run("form_post", func(t *testing.T) {
		client := httptest.NewServer(http.HandlerFunc(fields))
		t.Cleanup(client.Close)
		s.views["to_client"] = pages.FormPost{Action: client.URL + "/callback", Fields: url.Values{"code": {"c"}, "submit": {"1"}}}
		for _, script := range []bool{true, false} {
			p := b.Page(t)
			p.CDP("Emulation.setScriptExecutionDisabled", map[string]any{"value": !script}, nil)
			p.Goto(s.URL + "/page/to_client")
			if !script {
				p.Click("#continue")
			}
			p.WaitURL(client.URL)
			got := received(t, p)
			if got.Path != "/callback" || got.Fields.Get("code") != "c" || got.Fields.Get("submit") != "1" || got.Referer != "" {
				t.Errorf("posted %+v", got)
			}
		}
	})
}

// TestFormTargetsInBrowser: a form may lead on to where the page says, and nowhere else.
func TestFormTargetsInBrowser(t *testing.T) {
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<h1 id=arrived>arrived</h1>")
	}))
	t.Cleanup(client.Close)
	s, b := serve(t, map[string]pages.View{
		"none":     pages.LinkArrived{},
		"client":   pages.LinkArrived{Frame: pages.Frame{FormTargets: []string{client.URL}}},
		"loopback": pages.LinkArrived{Frame: pages.Frame{FormTargets: []string{"http://[::1]:" + port(t, client)}}},
	}), browsertest.Open(t)
	s.back = client.URL
	for name, arrives := range map[string]bool{"none": false, "client": true, "loopback": true} {
		t.Run(name, func(t *testing.T) {
			p := b.Page(t)
			p.Goto(s.URL + "/page/" + name)
			if arrives {
				p.Click("#continue")
				p.Wait("#arrived")
				return
			}
			evaluate(t, p, "document.addEventListener('securitypolicyviolation', e => document.documentElement.id = e.effectiveDirective)", nil)
			p.Click("#continue")
			p.Wait("html#form-action")
		})
	}
}

// TestPasskeys signs in with a passkey, on both pages that have a button for it.
func TestPasskeys(t *testing.T) {
	s, b := serve(t, shown()), browsertest.Open(t)
	for name, tc := range map[string]struct {
		page, click string
		old         bool
	}{
		"offered in the address field": {"identifier_all", "", false},
		"on its own page":              {"factor_passkey", "#continue", false},
		"in an older browser":          {"factor_passkey", "#continue", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.Page(t)
			key := addPasskey(t, p)
			if tc.old {
				p.CDP("Page.enable", nil, nil)
				p.CDP("Page.addScriptToEvaluateOnNewDocument", map[string]any{
					"source": "delete PublicKeyCredential.parseRequestOptionsFromJSON; delete PublicKeyCredential.prototype.toJSON;",
				}, nil)
			}
			p.Goto(s.URL + "/page/" + tc.page)
			if tc.click != "" {
				p.Click(tc.click)
			}
			checkAssertion(t, received(t, p), key)
		})
	}
	t.Run("the button of the first page", func(t *testing.T) {
		p := b.Page(t)
		// Nobody answers the offer in the address field: the button ends it.
		p.CDP("WebAuthn.enable", nil, nil)
		device := addDevice(p, false)
		key := addCredential(t, p, device)
		p.Goto(s.URL + "/page/identifier_all")
		p.Wait("#passkey")
		p.CDP("WebAuthn.setAutomaticPresenceSimulation", map[string]any{"authenticatorId": device, "enabled": true}, nil)
		p.Click("#passkey")
		checkAssertion(t, received(t, p), key)
	})
	t.Run("there are none here", func(t *testing.T) {
		p := b.Page(t)
		s.views["no_request"] = pages.Identifier{Passkeys: true}
		p.Goto(s.URL + "/page/no_request?language=en")
		p.Click("#passkey")
		p.Wait("#passkey-problem:has-text('That did not work with a passkey')")
	})
	t.Run("there is no passkey", func(t *testing.T) {
		p := b.Page(t)
		p.CDP("WebAuthn.enable", nil, nil)
		addDevice(p, true)
		p.Goto(s.URL + "/page/factor_passkey?language=de")
		p.Click("#continue")
		p.Wait("#passkey-problem:has-text('Mit einem Passkey hat das nicht geklappt')")
	})
	t.Run("a browser without passkeys", func(t *testing.T) {
		p := b.Page(t)
		p.CDP("Page.enable", nil, nil)
		p.CDP("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": "delete window.PublicKeyCredential"}, nil)
		p.Goto(s.URL + "/page/factor_passkey")
		p.Wait("#passkey-problem:has-text('This browser cannot use passkeys')")
		p.Goto(s.URL + "/page/identifier_all")
		expectHidden(t, p, "passkey", "passkey-problem")
	})
	t.Run("without script", func(t *testing.T) {
		p := browsertest.Open(t, "--blink-settings=scriptEnabled=false").Page(t)
		p.Goto(s.URL + "/page/identifier_all")
		expectHidden(t, p, "passkey")
		p.Goto(s.URL + "/page/factor_passkey")
		expectHidden(t, p, "continue")
		p.Wait("noscript p") // as text= does not look there
	})
}

func expectHidden(t *testing.T, p *browsertest.Page, ids ...string) {
	t.Helper()
	for _, id := range ids {
		var height float64
		evaluate(t, p, fmt.Sprintf("document.getElementById(%q).getBoundingClientRect().height", id), &height)
		if height != 0 {
			t.Errorf("%s is shown", id)
		}
	}
}

// addDevice gives the page's user a device that verifies its user; present: it is
// touched whenever it asks for that.
func addDevice(p *browsertest.Page, present bool) string {
	var made struct {
		ID string `json:"authenticatorId"`
	}
	p.CDP("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
		"isUserVerified": true, "automaticPresenceSimulation": present,
	}}, &made)
	return made.ID
}

func addPasskey(t *testing.T, p *browsertest.Page) []byte {
	t.Helper()
	p.CDP("WebAuthn.enable", nil, nil)
	return addCredential(t, p, addDevice(p, true))
}

// addCredential puts a passkey on a device, and returns its id.
func addCredential(t *testing.T, p *browsertest.Page, device string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := []byte(rand.Text())
	p.CDP("WebAuthn.addCredential", map[string]any{"authenticatorId": device, "credential": map[string]any{
		"credentialId": id, "isResidentCredential": true, "rpId": "localhost", "privateKey": private, "userHandle": []byte("alice"), "signCount": 0,
	}}, nil)
	return id
}

// checkAssertion expects that a passkey's answer to the challenge was posted.
func checkAssertion(t *testing.T, got posting, key []byte) {
	t.Helper()
	var credential struct {
		ID       string `json:"id"`
		RawID    string `json:"rawId"`
		Type     string `json:"type"`
		Response struct {
			ClientDataJSON    string `json:"clientDataJSON"`
			AuthenticatorData string `json:"authenticatorData"`
			Signature         string `json:"signature"`
			UserHandle        string `json:"userHandle"`
		} `json:"response"`
		Extensions map[string]any `json:"clientExtensionResults"`
	}
	if err := json.Unmarshal([]byte(got.Fields.Get("passkey")), &credential); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	id := base64.RawURLEncoding.EncodeToString(key)
	if got.Path != "/sign-in/prove" || got.Fields.Get("factor") != "passkey" || got.Fields.Get("request") != "req_1" {
		t.Errorf("posted %+v", got)
	}
	if credential.ID != id || credential.RawID != id || credential.Type != "public-key" || credential.Extensions == nil {
		t.Errorf("the credential is %+v", credential)
	}
	client, err := base64.RawURLEncoding.DecodeString(credential.Response.ClientDataJSON)
	if err != nil || !strings.Contains(string(client), `"challenge":"AAECAwQFBgcICQoLDA0ODw"`) {
		t.Errorf("client data %q, %v", client, err)
	}
	if user, err := base64.RawURLEncoding.DecodeString(credential.Response.UserHandle); err != nil || string(user) != "alice" {
		t.Errorf("user %q, %v", user, err)
	}
	if credential.Response.Signature == "" || credential.Response.AuthenticatorData == "" {
		t.Error("it signs nothing")
	}
}

package pages_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'%s; frame-ancestors 'none'; base-uri 'none'"

func TestHeaders(t *testing.T) {
	each(t, func(t *testing.T, _, language string, w *httptest.ResponseRecorder) {
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Content-Language": language, "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Vary": "Accept-Language",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		csp, allowed := w.Header().Get("Content-Security-Policy"), w.Header().Get("Permissions-Policy")
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Count(csp, ";") != strings.Count(policy, ";") {
			t.Errorf("the policy is %s", csp)
		}
		if !strings.Contains(allowed, "publickey-credentials-get=(self)") || strings.Contains(allowed, "*") {
			t.Errorf("permissions are %s", allowed)
		}
	})
}

// TestFormTargets: nothing but an origin or a private-use scheme gets into the policy.
func TestFormTargets(t *testing.T) {
	p := open(t)
	for target, want := range map[string]string{
		"https://shop.example":                "https://shop.example",
		"https://shop.example:8443":           "https://shop.example:8443",
		"https://xn--bcher-kva.example":       "https://xn--bcher-kva.example",
		"https://127.0.0.1:8443":              "https://127.0.0.1:8443",
		"http://127.0.0.1:4711":               "http://127.0.0.1:4711",
		"http://localhost":                    "http://localhost",
		"http://[::1]:4711":                   "http:",
		"com.example.app:":                    "com.example.app:",
		"":                                    "",
		"*":                                   "",
		"https:":                              "",
		"http:":                               "",
		"https://":                            "",
		"https://*":                           "",
		"https://*.example":                   "",
		"https://shop.example/path":           "",
		"https://shop.example:port":           "",
		"https://shop.example:443443":         "",
		"https://user@shop.example":           "",
		"https://shop.example; script-src *":  "",
		"https://shop.example;script-src":     "",
		"https://shop.example https://b.test": "",
		"https://shop.example, default-src *": "",
		"https://shop.example\r\nX: y":        "",
		"https://shop.example\n":              "",
		"https://bücher.example":              "",
		"http://shop.example":                 "",
		"http://127.0.0.1.evil.example":       "",
		"http://[::1].evil.example":           "",
		"http://[::2]":                        "",
		"javascript:":                         "",
		"data:":                               "",
		"blob:":                               "",
		"app:":                                "",
		"com.example.app":                     "",
		"com.example.app:/callback":           "",
		"com.example.app:;":                   "",
		"'unsafe-inline'":                     "",
		"'self'":                              "",
	} {
		t.Run(target, func(t *testing.T) {
			if want != "" {
				want = " " + want
			}
			v := pages.SignedOut{Frame: pages.Frame{FormTargets: []string{target, target}}}
			got := write(t, p, v, "en").Header().Get("Content-Security-Policy")
			if got != strings.Replace(policy, "%s", want, 1) {
				t.Errorf("the policy is %s", got)
			}
		})
	}
}

func FuzzFormTargets(f *testing.F) {
	p := open(f)
	for _, seed := range []string{"https://shop.example:8443", "http://[::1]:1", "com.example.app:", "https://a;b", "https://a b", "*"} {
		f.Add(seed)
	}
	fixed := strings.Replace(policy, "%s", "", 1)
	before, after, _ := strings.Cut(policy, "%s")
	f.Fuzz(func(t *testing.T, target string) {
		v := pages.SignedOut{Frame: pages.Frame{FormTargets: []string{target}}}
		got := write(t, p, v, "en").Header().Get("Content-Security-Policy")
		if got == fixed {
			return
		}
		added, ok := strings.CutPrefix(got, before+" ")
		added, also := strings.CutSuffix(added, after)
		if !ok || !also || strings.ContainsAny(added, " ;,*'\"\r\n\t") || !strings.Contains(added, ":") {
			t.Errorf("%q makes the policy %s", target, got)
		}
	})
}

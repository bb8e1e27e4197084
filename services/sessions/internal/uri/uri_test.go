package uri

import "testing"

func TestMatchesRedirect(t *testing.T) {
	t.Parallel()
	registered := []string{
		"https://app.example/callback", "https://app.example/other?tenant=1", "http://127.0.0.1/cb", "http://[::1]:8000/cb", "http://localhost/cb",
		"com.example.app:/cb",
	}
	for given, want := range map[string]bool{
		"https://app.example/callback":       true,
		"https://app.example/other?tenant=1": true,
		"com.example.app:/cb":                true,
		"http://127.0.0.1/cb":                true,
		"http://127.0.0.1:49152/cb":          true,
		"http://[::1]:1/cb":                  true,
		"http://[::1]/cb":                    true,
		"http://localhost/cb":                true,
		// O01.
		"http://localhost:8080/cb":                    false, // not a loopback address
		"https://app.example/callback?x=1":            false,
		"https://app.example/callback/":               false,
		"https://app.example/callback/more":           false,
		"https://app.example/Callback":                false,
		"https://APP.example/callback":                false,
		"HTTPS://app.example/callback":                false,
		"https://app.example/%63allback":              false,
		"https://app.example/x/%2e%2e/callback":       false,
		"https://app.example/x/../callback":           false,
		"https://app.example@evil.example/callback":   false,
		"https://user:password@app.example/callback":  false,
		"https://app.example:443/callback":            false,
		"https://app.example:8443/callback":           false,
		`https://app.example\@evil.example/callback`:  false,
		`https://evil.example\app.example/callback`:   false,
		"https://app.example/callback#fragment":       false,
		"https://sub.app.example/callback":            false,
		"https://app.example.evil.example/callback":   false,
		"http://app.example/callback":                 false,
		"http://127.0.0.1:80.evil.example/cb":         false,
		"http://127.0.0.1:80@evil.example/cb":         false,
		"http://127.0.0.1.evil.example/cb":            false,
		"http://127.0.0.1@evil.example/cb":            false,
		"http://127.0.0.1:123456/cb":                  false,
		"http://127.0.0.1:/cb":                        false,
		"http://127.0.0.2/cb":                         false,
		"http://127.0.0.1:80/cb/":                     false,
		"http://[::1]:80evil.example/cb":              false,
		"https://127.0.0.1/cb":                        false,
		"javascript:alert(1)":                         false,
		"":                                            false,
		"https://app.example/callback\x00":            false,
		"https://app.example/callback%20":             false,
		"https://app.example/other?tenant=1&tenant=2": false,
	} {
		if got := MatchesRedirect(registered, given); got != want {
			t.Errorf("%q: %t", given, got)
		}
	}
}

func TestRedirectRule(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://app.example/callback":    "",
		"https://app.example":             "",
		"https://app.example:8443/cb?x=1": "",
		"http://127.0.0.1/cb":             "",
		"http://[::1]:8000/cb":            "",
		"http://localhost:3000/cb":        "",
		"com.example.app:/cb":             "",
		"http://app.example/callback":     "https",
		"javascript:alert(1)":             "scheme",
		"data:text/html,x":                "scheme",
		"file:///etc/passwd":              "scheme",
		"myapp://cb":                      "scheme",
		"vbscript:x":                      "scheme",
		"/callback":                       "absolute",
		"//app.example/callback":          "absolute",
		"HTTPS://app.example/":            "absolute",
		"https://app.example/#":           "fragment",
		"https://app.example/#x":          "fragment",
		"https://a@app.example/":          "userinfo",
		"https://*.app.example/":          "characters",
		"https://app.example/a b":         "characters",
		"https://app.example/\x00":        "characters",
		`https://app.example\evil`:        "characters",
		"https://bücher.example/":         "characters",
		"https:///callback":               "host",
		"https:callback":                  "host",
		"https://APP.example/":            "host",
		"https://app.example./":           "host",
		"http://127.0.0.2/cb":             "https",
		"https://app.example:65536/":      "port",
		"com.example.app:x":               "scheme",
		"https://app.example:/":           "port",
		"https://app.example/a/../b":      "dots",
		"https://app.example/a/%2E%2e/b":  "dots",
		"":                                "absolute",
		"https://%zz/":                    "absolute",
	} {
		if got := RedirectRule(uri); got != want {
			t.Errorf("%q breaks %q, want %q", uri, got, want)
		}
	}
}

func TestResourceRule(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://api.example": "", "https://api.example/v1?x=1": "", "urn:example:api": "", "http://localhost:9000": "",
		"http://api.example": "scheme", "api": "absolute", "https://api.example/#x": "fragment", "urn:": "scheme", "ftp://x": "scheme",
	} {
		if got := ResourceRule(uri); got != want {
			t.Errorf("%q breaks %q, want %q", uri, got, want)
		}
	}
}

func TestLogoutRule(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://app.example/logout": "", "https://app.example:8443/logout?x=1": "", "http://localhost:3000/logout": "", "http://127.0.0.1/x": "",
		"https://[::1]:9/x": "", "http://app.example/logout": "https", "http://127.0.0.2/x": "https", "http://10.0.0.1/x": "https",
		"https://app.example/logout#x": "fragment", "https://a:b@app.example/": "userinfo", "com.example.app:/logout": "scheme",
		"file:///etc/passwd": "scheme", "gopher://app.example/": "scheme", "/logout": "absolute", "https:///x": "host", "https://app.example/a/../b": "dots",
		"https://app.example/\r\nx": "characters", "": "absolute",
	} {
		if got := LogoutRule(uri); got != want {
			t.Errorf("%q breaks %q, want %q", uri, got, want)
		}
	}
}

// What names this machine is known, and what only looks like it is not taken for it.
func TestLoopback(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]bool{
		"http://localhost/x": true, "https://127.0.0.1:1/x": true, "http://[::1]:8/x": true, "https://localhost.evil.example/x": false,
		"https://127.0.0.1.evil.example/x": false, "https://app.example/localhost": false, "https://127.0.0.2/": false, "https://%zz": false, "": false,
	} {
		if got := Loopback(uri); got != want {
			t.Errorf("%q: %v", uri, got)
		}
	}
}

// Whatever is registered under the rules matches itself and nothing with another host.
func FuzzMatchesRedirect(f *testing.F) {
	f.Add("https://app.example/callback", "https://app.example/callback")
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb")
	f.Fuzz(func(t *testing.T, registered, given string) {
		if RedirectRule(registered) != "" {
			return
		}
		own := []string{registered}
		if !MatchesRedirect(own, registered) {
			t.Errorf("%q does not match itself", registered)
		}
		if given != registered && MatchesRedirect(own, given) && RedirectRule(given) != "" {
			t.Errorf("%q matches %q, and could not be registered", given, registered)
		}
	})
}

func TestHost(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://shop.example:8443/back": "shop.example", "http://127.0.0.1/back": "127.0.0.1", "com.example.shop:/back": "",
		"http://shop.example/": "", "https://shop.example@evil.example/": "", "javascript:alert(1)": "", "": "",
	} {
		if got := Host(given); got != want {
			t.Errorf("host of %q is %q, want %q", given, got, want)
		}
	}
}

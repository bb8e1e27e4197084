package uri_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

func TestDocumentURLs(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://app.example/client.json":                 "",
		"https://app.example/":                            "",
		"https://app.example:8443/a/b":                    "",
		"https://xn--bcher-kva.example/c":                 "",
		"https://[2001:db8::1]/c":                         "",
		"https://app.example/a%20b":                       "",
		"https://app.example/" + strings.Repeat("a", 480): "",
		"https://app.example/" + strings.Repeat("a", 481): "length",
		"https://app.example":                             "path",
		"https://app.example?x":                           "query",
		"https://app.example/c?":                          "query",
		"https://app.example/c?a=1":                       "query",
		"https://app.example/c#":                          "fragment",
		"https://app.example/c#me":                        "fragment",
		"https://bank.example@app.example/c":              "userinfo",
		"https://@app.example/c":                          "userinfo",
		"https://app.example/./c":                         "dots",
		"https://app.example/a/../c":                      "dots",
		"https://app.example/a/%2e%2E/c":                  "dots",
		"https://app.example:/c":                          "port",
		"https://app.example:0/c":                         "port",
		"https://app.example:0443/c":                      "port",
		"https://app.example:65536/c":                     "port",
		"https://APP.example/c":                           "host",
		"https://app.example./c":                          "host",
		"https:///c":                                      "host",
		"https:c":                                         "host",
		"HTTPS://app.example/c":                           "absolute",
		"http://app.example/c":                            "https",
		"javascript://app.example/c":                      "https",
		"cli_00000000000000000000000000":                  "absolute",
		"":                                                "absolute",
		"https://app.example/ä":                           "characters",
		"https://app.example\\@bank.example/c":            "characters",
		"https://app.example/c\n":                         "characters",
		"\thttps://app.example/c":                         "characters",
		"https://app.example/<script>":                    "characters",
	} {
		if got := uri.DocumentRule(given); got != want {
			t.Errorf("%q breaks %q, want %q", given, got, want)
		}
		if host := uri.DocumentHost(given); (host != "") != (want == "") {
			t.Errorf("%q has the host %q", given, host)
		}
	}
	if host := uri.DocumentHost("https://app.example:8443/c"); host != "app.example:8443" {
		t.Error(host)
	}
}

package sessions

import (
	"strings"
	"testing"
)

func TestCertificateURLs(t *testing.T) {
	t.Parallel()
	const id, en, mtls = "https://id.example.com", "https://id.example.org", "https://mtls.id.example.com"
	issuers := map[string]string{"id.example.com": id, "id.example.org": en}
	for name, tc := range map[string]struct {
		urls    map[string]string
		unasked bool
		want    map[string]string
	}{
		"none":               {nil, true, map[string]string{}},
		"one of two issuers": {map[string]string{id: mtls}, false, map[string]string{"mtls.id.example.com": id}},
		"a port":             {map[string]string{id: id + ":8443", en: mtls}, false, map[string]string{"id.example.com:8443": id, "mtls.id.example.com": en}},
		"nobody is asked":    {map[string]string{id: mtls}, true, nil},
		"another's issuer":   {map[string]string{"https://other.example": mtls}, false, nil},
		"of two":             {map[string]string{id: mtls, en: mtls}, false, nil},
		"an issuer itself":   {map[string]string{id: en}, false, nil},
		"http":               {map[string]string{id: "http://mtls.id.example.com"}, false, nil},
		"a path":             {map[string]string{id: mtls + "/"}, false, nil},
		"in capitals":        {map[string]string{id: "https://MTLS.id.example.com"}, false, nil},
	} {
		c := Config{Issuers: []string{id, en}, CertificateURLs: tc.urls}
		got, err := c.certificateURLs(issuers, !tc.unasked)
		if (err != nil) != (tc.want == nil) || len(got) != len(tc.want) {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		for host, issuer := range tc.want {
			if got[host] != issuer || !strings.Contains(strings.Join(c.CertificateHosts(), " "), strings.Split(host, ":")[0]) {
				t.Errorf("%s: %v, asked at %v", name, got, c.CertificateHosts())
			}
		}
	}
}

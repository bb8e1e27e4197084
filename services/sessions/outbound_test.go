package sessions

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/outbound"
)

// Nothing is sent to this machine but by a deployment that is on it, and never to other
// private networks.
func TestOutboundRules(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := file("authority.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	const public, local, others = "https://id.example.com", "http://localhost:8080", "http://127.0.0.1:8080"
	for name, tc := range map[string]struct {
		config   OutboundConfig
		issuers  []string
		wrong    string
		loopback bool
		roots    bool
	}{
		"nothing said":             {issuers: []string{public}},
		"another authority":        {config: OutboundConfig{AuthoritiesFile: authority}, issuers: []string{public}, roots: true},
		"this machine":             {config: OutboundConfig{Loopback: true}, issuers: []string{local, others}, loopback: true},
		"this machine, authority":  {config: OutboundConfig{Loopback: true, AuthoritiesFile: authority}, issuers: []string{local}, loopback: true, roots: true},
		"this machine, for others": {config: OutboundConfig{Loopback: true}, issuers: []string{local, public}, wrong: "loopback: "},
		"no such file":             {config: OutboundConfig{AuthoritiesFile: filepath.Join(dir, "absent")}, wrong: "authorities_file: "},
		"no certificate":           {config: OutboundConfig{AuthoritiesFile: file("empty.pem", nil)}, wrong: "authorities_file: "},
	} {
		got, err := tc.config.rules(tc.issuers)
		if tc.wrong != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tc.wrong) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || (got.Roots != nil) != tc.roots {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for address, may := range map[string]bool{"127.0.0.1": tc.loopback, "::1": tc.loopback, "10.0.0.1": false, "169.254.169.254": false, "fd00::1": false, "1.1.1.1": true} {
			if err := got.Judge(netip.MustParseAddr(address)); (err == nil) != may || err != nil && !errors.Is(err, outbound.ErrAddress) {
				t.Errorf("%s: %s: %v", name, address, err)
			}
		}
	}
}

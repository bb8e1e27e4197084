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

// Nothing is sent to this machine but by a deployment that is on it, nor to private
// networks that are not named, nor where clouds serve credentials.
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
	machine := []string{"127.0.0.0/8", "::1/128"}
	const public, local, others = "https://id.example.com", "http://localhost:8080", "http://127.0.0.1:8080"
	for name, tc := range map[string]struct {
		config   OutboundConfig
		issuers  []string
		wrong    string
		loopback bool
		near     bool // 10.0.0.1
		roots    bool
	}{
		"nothing said":             {issuers: []string{public}},
		"another authority":        {config: OutboundConfig{AuthoritiesFile: authority}, issuers: []string{public}, roots: true},
		"this machine":             {config: OutboundConfig{Networks: machine}, issuers: []string{local, others}, loopback: true},
		"this machine, authority":  {config: OutboundConfig{Networks: machine, AuthoritiesFile: authority}, issuers: []string{local}, loopback: true, roots: true},
		"this machine, for others": {config: OutboundConfig{Networks: machine}, issuers: []string{local, public}, wrong: "networks: "},
		"everything, for others":   {config: OutboundConfig{Networks: []string{"0.0.0.0/0"}}, issuers: []string{public}, wrong: "networks: "},
		"a private network":        {config: OutboundConfig{Networks: []string{"10.0.0.0/8"}}, issuers: []string{public}, near: true},
		"everything":               {config: OutboundConfig{Networks: []string{"0.0.0.0/0", "::1/128"}}, issuers: []string{local}, loopback: true, near: true},
		"an address":               {config: OutboundConfig{Networks: []string{"10.0.0.1"}}, issuers: []string{public}, wrong: "networks: "},
		"an address of a network":  {config: OutboundConfig{Networks: []string{"10.0.0.1/8"}}, issuers: []string{public}, wrong: "networks: "},
		"IPv4 in IPv6":             {config: OutboundConfig{Networks: []string{"::ffff:10.0.0.0/104"}}, issuers: []string{public}, wrong: "networks: "},
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
		for address, may := range map[string]bool{"127.0.0.1": tc.loopback, "::1": tc.loopback, "10.0.0.1": tc.near, "169.254.169.254": false, "fd00::1": false, "1.1.1.1": true} {
			if err := got.Judge(netip.MustParseAddr(address)); (err == nil) != may || err != nil && !errors.Is(err, outbound.ErrAddress) {
				t.Errorf("%s: %s: %v", name, address, err)
			}
		}
	}
}

package sessions

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// Config is the service's part of the configuration file.
type Config struct {
	// Issuers are where people and clients reach the provider, as
	// https://id.example.com: each is an issuer of its own. Absent: there is none, and
	// nobody signs in here.
	Issuers []string `yaml:"issuers"`
	// SessionIdle ends a session that is not used for so long; absent: 72h.
	SessionIdle time.Duration `yaml:"session_idle"`
	// SessionAbsolute ends a session in any case; absent: 720h (30 days).
	SessionAbsolute time.Duration `yaml:"session_absolute"`
	// ClientAuthoritiesFile holds the certificates, in PEM, of the authorities that
	// clients may prove themselves by certificates of; absent: none. It needs
	// server.tls.client_certificates.
	ClientAuthoritiesFile string `yaml:"client_authorities_file"`
	// CertificateURLs are where clients with certificates of TLS reach an issuer, by the
	// issuer, as https://mtls.id.example.com: only who calls these hosts is asked for one, so
	// that browsers ask nobody. Absent: whoever calls any host is.
	CertificateURLs map[string]string `yaml:"certificate_urls"`
	// Outbound is about what is fetched from addresses that customers choose.
	Outbound OutboundConfig `yaml:"outbound"`
	// ClientIDMetadataDocuments takes clients that nobody registered, whose client_id is
	// the https URL of a document in which they describe themselves; absent: it does not.
	// With it anybody may have people asked for access in the name of a host of their own,
	// and this node calls hosts that others choose.
	ClientIDMetadataDocuments DocumentsConfig `yaml:"client_id_metadata_documents"`
}

// DocumentsConfig is about clients that nobody registered.
type DocumentsConfig struct {
	// Enabled takes them.
	Enabled bool `yaml:"enabled"`
	// Resources are the APIs that they may ask tokens for, as https://mcp.example.com, with
	// the users' consent; absent: none, their tokens say who somebody is.
	Resources []string `yaml:"resources"`
	// Scopes are those of the APIs that they may ask for; absent: none.
	Scopes []string `yaml:"scopes"`
}

func (c DocumentsConfig) offer() (client.Offer, error) {
	o := client.Offer{Resources: c.Resources, Scopes: c.Scopes}
	if !c.Enabled && len(c.Resources)+len(c.Scopes) > 0 {
		return o, errors.New("enabled: is off, and something is offered")
	}
	return o, o.Valid()
}

// CertificateHosts are the names of the hosts of CertificateURLs.
func (c Config) CertificateHosts() (hosts []string) {
	for _, text := range c.CertificateURLs {
		if u, err := url.Parse(text); err == nil {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// certificateURLs are the issuers by the hosts of CertificateURLs. asked says whether
// clients are asked for certificates.
func (c Config) certificateURLs(issuers map[string]string, asked bool) (map[string]string, error) {
	if len(c.CertificateURLs) > 0 && !asked {
		return nil, errors.New("needs server.tls.client_certificates, which asks for certificates")
	}
	out := map[string]string{}
	for issuer, text := range c.CertificateURLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "https" || u.Host == "" || text != "https://"+strings.ToLower(u.Host):
			return nil, fmt.Errorf("%q is none, as https://mtls.id.example.com", text)
		case !slices.Contains(c.Issuers, issuer):
			return nil, fmt.Errorf("%s is no issuer here", issuer)
		case issuers[u.Host] != "" || out[u.Host] != "":
			return nil, fmt.Errorf("%s is another issuer's, or two have it", text)
		}
		out[u.Host] = issuer
	}
	return out, nil
}

// authorities reads the file; nil when there is none. asked says whether clients are
// asked for certificates.
func (c Config) authorities(asked bool) (*x509.CertPool, error) {
	switch {
	case c.ClientAuthoritiesFile == "":
		return nil, nil //nolint:nilnil // no authority
	case !asked:
		return nil, errors.New("needs server.tls.client_certificates, which asks for certificates")
	}
	pool := x509.NewCertPool()
	return pool, addCertificates(pool, c.ClientAuthoritiesFile)
}

func (c Config) withDefaults() Config {
	if c.SessionIdle == 0 {
		c.SessionIdle = 72 * time.Hour
	}
	if c.SessionAbsolute == 0 {
		c.SessionAbsolute = 30 * 24 * time.Hour
	}
	return c
}

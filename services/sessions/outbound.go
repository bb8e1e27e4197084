package sessions

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// OutboundConfig is about what is fetched from addresses that customers choose. Absent, as
// in every deployment: from the public internet only.
type OutboundConfig struct {
	// Loopback lets this machine be such an address, too. It is for development and tests,
	// and refused where an issuer is not on this machine.
	Loopback bool `yaml:"loopback"`
	// AuthoritiesFile holds the certificates, in PEM, of authorities that are taken beside
	// those that the system trusts; absent: none.
	AuthoritiesFile string `yaml:"authorities_file"`
}

// rules are those for requests to such addresses from a provider with these issuers.
func (c OutboundConfig) rules(issuers []string) (outbound.Options, error) {
	o := outbound.Options{Judge: outbound.Public}
	if c.Loopback {
		for _, issuer := range issuers {
			if !uri.Loopback(issuer) {
				return o, fmt.Errorf("loopback: is for development, and %s is an issuer for others", issuer)
			}
		}
		o.Judge = func(a netip.Addr) error {
			if outbound.Loopback(a) == nil {
				return nil
			}
			return outbound.Public(a)
		}
	}
	if c.AuthoritiesFile == "" {
		return o, nil
	}
	text, err := os.ReadFile(c.AuthoritiesFile)
	if err != nil {
		return o, fmt.Errorf("authorities_file: %w", err)
	}
	if o.Roots, err = x509.SystemCertPool(); err != nil {
		return o, fmt.Errorf("authorities_file: %w", err)
	}
	if !o.Roots.AppendCertsFromPEM(text) {
		return o, errors.New("authorities_file: " + c.AuthoritiesFile + " has no certificate in PEM")
	}
	return o, nil
}

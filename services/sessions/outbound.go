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

// OutboundConfig is about what is sent to addresses that customers choose: the keys of
// those whom trusts are about, documents of clients, and where clients are told of logouts.
// Absent: all of them are of the public internet.
type OutboundConfig struct {
	// Networks may have such addresses, too, as 10.20.0.0/16. Whoever may make a client or a
	// trust makes this node call what is in them. Those of this machine are for development:
	// they are refused where an issuer is not on this machine.
	Networks []string `yaml:"networks"`
	// AuthoritiesFile holds the certificates, in PEM, of authorities that are taken beside
	// those that the system trusts; absent: none.
	AuthoritiesFile string `yaml:"authorities_file"`
}

// rules are those for requests to such addresses from a provider with these issuers.
func (c OutboundConfig) rules(issuers []string) (o outbound.Options, err error) {
	networks, err := c.networks(issuers)
	if err != nil {
		return o, fmt.Errorf("networks: %w", err)
	}
	o.Judge = outbound.PublicAnd(networks)
	if c.AuthoritiesFile == "" {
		return o, nil
	}
	if o.Roots, err = x509.SystemCertPool(); err != nil {
		return o, fmt.Errorf("authorities_file: %w", err)
	}
	if err := addCertificates(o.Roots, c.AuthoritiesFile); err != nil {
		return o, fmt.Errorf("authorities_file: %w", err)
	}
	return o, nil
}

func (c OutboundConfig) networks(issuers []string) (networks []netip.Prefix, err error) {
	local := true
	for _, issuer := range issuers {
		local = local && uri.Loopback(issuer)
	}
	for _, text := range c.Networks {
		network, err := netip.ParsePrefix(text)
		switch {
		case err != nil || network != network.Masked() || network.Addr().Is4In6():
			return nil, fmt.Errorf("%q is none, as 10.20.0.0/16", text)
		case !local && loops(network):
			return nil, fmt.Errorf("%s is this machine's, which is for development, and an issuer is for others", text)
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// loops says whether a network has addresses of the machine itself.
func loops(network netip.Prefix) bool {
	return network.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || network.Overlaps(netip.MustParsePrefix("::1/128"))
}

// addCertificates adds those of a file.
func addCertificates(pool *x509.CertPool, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(text) {
		return errors.New(file + " has no certificate in PEM")
	}
	return nil
}

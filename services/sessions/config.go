package sessions

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
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
	// ClientIDMetadataDocuments takes clients that nobody registered, whose client_id is
	// the https URL of a document in which they describe themselves; absent: it does not.
	// With it anybody may have people asked for access in the name of a host of their own,
	// and this node calls hosts that others choose.
	ClientIDMetadataDocuments bool `yaml:"client_id_metadata_documents"`
	// ClientDocumentNetworks are those that the documents are fetched from beside the public
	// internet, as 10.20.0.0/16; absent: none.
	ClientDocumentNetworks []string `yaml:"client_document_networks"`
	// ClientDocumentAuthoritiesFile holds the certificates, in PEM, of the authorities that
	// the documents' servers have theirs from; absent: those that the system trusts.
	ClientDocumentAuthoritiesFile string `yaml:"client_document_authorities_file"`
}

// clients are whose certificates are taken, and those that nobody registered. asked says
// whether clients are asked for certificates.
func (c Config) clients(asked bool, clock func() time.Time) (*x509.CertPool, *clientdoc.Documents, error) {
	authorities, err := c.authorities(asked)
	if err != nil {
		return nil, nil, fmt.Errorf("client_authorities_file: %w", err)
	}
	documents, err := c.documents(clock)
	return authorities, documents, err
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
	return certificates(c.ClientAuthoritiesFile)
}

// certificates reads those of a file.
func certificates(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

// documents are the clients that nobody registered; nil: none are taken.
func (c Config) documents(clock func() time.Time) (*clientdoc.Documents, error) {
	if !c.ClientIDMetadataDocuments {
		if len(c.ClientDocumentNetworks) > 0 || c.ClientDocumentAuthoritiesFile != "" {
			return nil, errors.New("client_id_metadata_documents: is off, and there is more about the documents")
		}
		return nil, nil //nolint:nilnil // nobody's
	}
	o := clientdoc.Options{Clock: clock}
	for _, text := range c.ClientDocumentNetworks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("client_document_networks: %q is none, as 10.20.0.0/16", text)
		}
		o.Networks = append(o.Networks, network.Masked())
	}
	if c.ClientDocumentAuthoritiesFile != "" {
		var err error
		if o.Roots, err = certificates(c.ClientDocumentAuthoritiesFile); err != nil {
			return nil, fmt.Errorf("client_document_authorities_file: %w", err)
		}
	}
	return clientdoc.New(o), nil
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

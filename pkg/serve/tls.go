package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// certificateCheck is how often the files are looked at.
const certificateCheck = 10 * time.Second

// certificate is read from files, and again when they change.
type certificate struct {
	files TLS
	log   *slog.Logger
	clock func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	version [2]fileVersion
	checked time.Time
}

type fileVersion struct {
	modified time.Time
	size     int64
}

func loadCertificate(files TLS, log *slog.Logger, clock func() time.Time) (*certificate, error) {
	if files.CertFile == "" || files.KeyFile == "" {
		return nil, errors.New("tls: cert_file and key_file are both needed")
	}
	c := &certificate{files: files, log: log, clock: clock}
	version, err := c.look()
	if err != nil {
		return nil, err
	}
	if err := c.load(version); err != nil {
		return nil, err
	}
	return c, nil
}

// get implements tls.Config.GetCertificate. New files that do not load leave
// the old certificate in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.clock(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		version, err := c.look()
		if err == nil && version != c.version {
			err = c.load(version)
		}
		if err != nil {
			c.log.Error("certificate could not be read again", slog.Any("error", err))
		}
	}
	return c.current, nil
}

func (c *certificate) look() (version [2]fileVersion, err error) {
	for i, path := range []string{c.files.CertFile, c.files.KeyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return version, fmt.Errorf("tls: %w", err)
		}
		version[i] = fileVersion{info.ModTime(), info.Size()}
	}
	return version, nil
}

func (c *certificate) load(version [2]fileVersion) error {
	loaded, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.current, c.version = &loaded, version
	return nil
}

// suites are what TLS 1.2 is spoken with; TLS 1.3 has its own.
//
// Source: RFC 9325 (BCP 195) section 4.2, which the FAPI 2.0 Security Profile, section
// 5.2.2, leaves nothing beside.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

// config asks clients for certificates that call one of some hosts; without hosts, whatever
// they call. Browsers show their users a choice where they are asked.
func (c *certificate) config(hosts []string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, GetCertificate: c.get}
	if !c.files.ClientCertificates {
		return config
	}
	if len(hosts) == 0 {
		config.ClientAuth = tls.RequestClientCert // whose it is, is for those to know who registered it
		return config
	}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !among(hosts, hello.ServerName) {
			return nil, nil //nolint:nilnil // the one that it is of
		}
		asking := config.Clone()
		asking.GetConfigForClient, asking.ClientAuth = nil, tls.RequestClientCert
		return asking, nil
	}
	return config
}

// asks says whether clients that call a host are asked for certificates.
func (s *Server) asks(host string) bool {
	return s.config.TLS.ClientCertificates && (len(s.asking) == 0 || among(s.asking, host))
}

func among(hosts []string, host string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

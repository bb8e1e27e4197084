// Package node wires one process: database, bus, log, services, server. It
// decides nothing.
package node

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/activity"
	"github.com/meridian-iam/meridian/pkg/region"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/telemetry"
	"github.com/meridian-iam/meridian/services/authz"
	"github.com/meridian-iam/meridian/services/identity"
	"github.com/meridian-iam/meridian/services/sessions"
)

// Services that a node can host.
const (
	Identity = "identity"
	Authz    = "authz"
	Sessions = "sessions"
	Audit    = "audit"
	// Relay publishes the region's outbox.
	Relay = "relay"
)

// Config is the configuration file of `meridian serve`.
type Config struct {
	// Region is where this process runs, as eu-west. Required.
	Region string `yaml:"region"`
	// Regions are those of the deployment, the platform's home first; absent:
	// Region alone. This one mirrors the streams of the others, and its relays
	// stand by for them.
	Regions []string `yaml:"regions"`
	// Services to host: identity, authz, sessions, audit, relay; absent: all.
	Services []string `yaml:"services"`
	// DataDir holds snapshots and, without bus.url, JetStream. Required.
	DataDir string `yaml:"data_dir"`

	// Database is where the log and the state rows are.
	Database DatabaseConfig `yaml:"database"`
	// Bus is the NATS cluster of the region.
	Bus BusConfig `yaml:"bus"`
	// Keys are files with key material, mode 0600.
	Keys KeysConfig `yaml:"keys"`
	// IdentityURLs are where the identity service is when this process does not
	// host it, as https://identity.internal:8443: one for each region, nearest
	// first.
	IdentityURLs []string `yaml:"identity_urls"`
	// AuthzURLs are where the authz service is when this process does not host it,
	// nearest first. Absent: calls on behalf of users are refused here.
	AuthzURLs []string `yaml:"authz_urls"`
	// Issuers are the OpenID providers whose access tokens are taken, as
	// https://id.example.com; absent: those of sessions, where it is hosted.
	Issuers []string `yaml:"issuers"`
	// Audiences are the names of this API in access tokens (the claim aud). Those that are
	// https URLs are where clients call it, as proofs of keys (DPoP) name it; absent:
	// Issuers.
	Audiences []string `yaml:"audiences"`
	// MaxRevocationAge is how old what is known of revocations may be while access
	// tokens are taken; absent: 5s. With more, products go on for so long while the
	// database or the bus is away, and feel what is revoked then as late.
	MaxRevocationAge time.Duration `yaml:"max_revocation_age"`
	// SessionsURLs are where the JWK Set of the sessions service is when this process
	// does not host it, as https://sessions.internal:8443/oauth2/jwks, nearest first.
	SessionsURLs []string `yaml:"sessions_urls"`
	// Peers are where the services of other regions are, by region, as seen from
	// here. A write of what is at home there is sent there; absent: every write is
	// committed from here, through the database. That of Region is not used.
	Peers map[string]PeerConfig `yaml:"peers"`

	// ClockSkew is how far this node's own clock is taken to be off, for drills;
	// absent: it is right. The database's clock is the one that counts.
	ClockSkew time.Duration `yaml:"clock_skew"`

	Server    serve.Config     `yaml:"server"`
	Telemetry telemetry.Config `yaml:"telemetry"`
	Identity  identity.Config  `yaml:"identity"`
	Authz     authz.Config     `yaml:"authz"`
	Sessions  sessions.Config  `yaml:"sessions"`
	// Activity is what the region keeps of what its services observe.
	Activity activity.Config `yaml:"activity"`
}

// DatabaseConfig says how to reach CockroachDB or PostgreSQL.
type DatabaseConfig struct {
	// URLFile holds the URL, which contains a password; MERIDIAN_DATABASE_URL
	// in the environment wins over it.
	URLFile string `yaml:"url_file"`
	// MaxConnections of this process; absent: 16.
	MaxConnections int32 `yaml:"max_connections"`

	// URL is set by `meridian dev` and the environment.
	URL secret.String `yaml:"-"`
}

// BusConfig says how to reach NATS.
type BusConfig struct {
	// URL of the region's NATS cluster; absent, without URLFile: an embedded
	// server that stores below DataDir, for development and tests.
	URL string `yaml:"url"`
	// URLFile holds the URL, when it contains a password; URL wins over it.
	URLFile string `yaml:"url_file"`
	// CredentialsFile of the NATS user; absent: none.
	CredentialsFile string `yaml:"credentials_file"`
	// Replicas of the region's stream; absent: 1.
	Replicas int `yaml:"replicas"`
}

// PeerConfig says where another region's services are, as https://host:port: one
// address, that of the region's edge, or one for each service. What is absent is
// not called.
type PeerConfig struct {
	Identity string `yaml:"identity"`
	Authz    string `yaml:"authz"`
	Sessions string `yaml:"sessions"`
}

// KeysConfig names files with key material.
type KeysConfig struct {
	// ServiceFile holds the 32-byte key with which services vouch for each
	// other. Required.
	ServiceFile string `yaml:"service_file"`
	// RegionalFile holds the Tink keyset that wraps the keys of users whose
	// home is this region. Required.
	RegionalFile string `yaml:"regional_file"`
	// BlindFile holds the 32-byte key by which email addresses are found, and with
	// which requests are remembered under their idempotency keys. It is the same in
	// all processes and regions. Absent: no user has an address.
	BlindFile string `yaml:"blind_file"`
}

func unique(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// others are the deployment's regions without this one.
func (c Config) others() []string {
	return slices.DeleteFunc(slices.Clone(c.Regions), func(r string) bool { return r == c.Region })
}

// hosts says whether this node hosts a service.
func (c Config) hosts(service string) bool {
	return len(c.Services) == 0 || slices.Contains(c.Services, service)
}

// resolve fills in what follows from other settings and from the environment,
// and names the first setting that is wrong.
func (c Config) resolve() (Config, error) {
	if len(c.Regions) == 0 {
		c.Regions = []string{c.Region}
	}
	url, err := c.databaseURL()
	if err != nil {
		return c, err
	}
	c.Database.URL = url
	if len(c.Issuers) == 0 && c.hosts(Sessions) {
		c.Issuers = c.Sessions.Issuers
	}
	if c.Bus.URL, err = c.busURL(); err != nil {
		return c, err
	}
	return c, c.check()
}

// busURL returns the URL of NATS, or "" when the server is embedded.
func (c Config) busURL() (string, error) {
	if c.Bus.URL != "" || c.Bus.URLFile == "" {
		return c.Bus.URL, nil
	}
	content, err := os.ReadFile(c.Bus.URLFile)
	if err != nil {
		return "", fmt.Errorf("bus.url_file: %w", err)
	}
	url := strings.TrimSpace(string(content))
	if url == "" { // an embedded server instead would be a surprise
		return "", fmt.Errorf("bus.url_file: %s is empty", c.Bus.URLFile)
	}
	return url, nil
}

// databaseURL returns the URL of the database: the environment's, else the
// file's.
func (c Config) databaseURL() (secret.String, error) {
	if !c.Database.URL.IsZero() {
		return c.Database.URL, nil
	}
	if url := os.Getenv("MERIDIAN_DATABASE_URL"); url != "" {
		return secret.NewString(url), nil
	}
	if c.Database.URLFile == "" {
		return secret.String{}, fmt.Errorf("database.url_file: is required, or MERIDIAN_DATABASE_URL in the environment")
	}
	url, err := os.ReadFile(c.Database.URLFile)
	if err != nil {
		return secret.String{}, fmt.Errorf("database.url_file: %w", err)
	}
	return secret.NewString(strings.TrimSpace(string(url))), nil
}

// malformed says what is wrong with the first name that is not a region's.
func malformed(regions []string) error {
	for _, name := range regions {
		if err := region.Check(name); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) check() error {
	switch {
	case c.Region == "":
		return fmt.Errorf("region: is required, as eu-west")
	case region.Check(c.Region) != nil:
		return fmt.Errorf("region: %w", region.Check(c.Region))
	case !slices.Contains(c.Regions, c.Region):
		return fmt.Errorf("regions: %q does not contain this node's region %q", c.Regions, c.Region)
	case len(unique(c.Regions)) != len(c.Regions):
		return fmt.Errorf("regions: %q names a region twice", c.Regions)
	case malformed(c.Regions) != nil:
		return fmt.Errorf("regions: %w", malformed(c.Regions))
	case c.DataDir == "":
		return fmt.Errorf("data_dir: is required")
	case c.Keys.ServiceFile == "":
		return fmt.Errorf("keys.service_file: is required; `meridian keys` makes one")
	case c.Keys.RegionalFile == "":
		return fmt.Errorf("keys.regional_file: is required; `meridian keys` makes one")
	case !c.hosts(Identity) && len(c.IdentityURLs) == 0:
		return fmt.Errorf("identity_urls: is required when this node does not host identity")
	case c.Activity.Check() != nil:
		return fmt.Errorf("activity.%w", c.Activity.Check())
	}
	if err := c.checkPeers(); err != nil {
		return err
	}
	for _, at := range c.SessionsURLs {
		if !reachable(at) {
			return fmt.Errorf("sessions_urls: %q is not https://host:port/path", at)
		}
	}
	for _, s := range c.Services {
		if all := []string{Identity, Authz, Sessions, Audit, Relay}; !slices.Contains(all, s) {
			return fmt.Errorf("services: there is no service %q; there are %q", s, all)
		}
	}
	return nil
}

// reachable says whether a text is the address of something over HTTP.
func reachable(at string) bool {
	parsed, err := url.Parse(at)
	return err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
}

func (c Config) checkPeers() error {
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		if err := region.Check(name); err != nil {
			return fmt.Errorf("peers: %w", err)
		}
		for service, at := range map[string]string{
			Identity: c.Peers[name].Identity, Authz: c.Peers[name].Authz, Sessions: c.Peers[name].Sessions,
		} {
			if at != "" && !reachable(at) {
				return fmt.Errorf("peers.%s.%s: %q is not https://host:port", name, service, at)
			}
		}
	}
	return nil
}

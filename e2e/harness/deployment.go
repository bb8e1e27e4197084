package harness

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
)

// Deployment is the shape of production: a database and NATS of their own,
// keys, migrated schemas, and the platform's first token.
type Deployment struct {
	Database *Database
	NATS     *NATS
	// Keys is the folder of the key files.
	Keys string
	// Token is the bootstrap token: platform, admin.
	Token string

	dir string
}

// Region of all nodes.
const Region = "eu-west"

// StartDeployment starts the database and NATS, makes keys, migrates, and makes
// the first token, with the commands that an operator would use. It serves
// nothing yet.
func StartDeployment(t testing.TB) *Deployment {
	t.Helper()
	d := &Deployment{Database: StartDatabase(t), NATS: StartNATS(t), dir: t.TempDir()}
	d.Keys = filepath.Join(d.dir, "keys")
	d.must(t, "keys", d.Keys)
	write(t, filepath.Join(d.dir, "database.url"), d.Database.URL+"\n")
	first := d.Config(t, "first", "")
	d.must(t, "migrate", "--config", first)
	d.Token = strings.TrimSpace(d.must(t, "bootstrap", "--config", first))
	return d
}

func (d *Deployment) must(t testing.TB, args ...string) string {
	t.Helper()
	r := Run(t, args...)
	if r.Code != 0 {
		t.Fatalf("meridian %s: %+v", args[0], r)
	}
	return r.Stdout
}

// Config writes a configuration file and returns its path. more is appended to
// what all nodes need.
func (d *Deployment) Config(t testing.TB, name, more string) string {
	t.Helper()
	path := filepath.Join(d.dir, name+".yaml")
	write(t, path, fmt.Sprintf(`region: %s
data_dir: %s
database:
  url_file: %s
bus:
  url: %s
keys:
  service_file: %s
  regional_file: %s
  blind_file: %s
%s`, Region, filepath.Join(d.dir, name), filepath.Join(d.dir, "database.url"), d.NATS.URL,
		filepath.Join(d.Keys, "service.key"), filepath.Join(d.Keys, "regional.json"), filepath.Join(d.Keys, "blind.key"), more))
	return path
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Node is a `meridian serve`. It keeps its address when it is started again.
type Node struct {
	*Process

	// Address is host:port.
	Address string
	// DataDir is the folder that it keeps snapshots in.
	DataDir string

	config string
	issuer string
}

// Node describes a node on a free port; Start starts it. more is YAML as in
// Config, but for the section server.
func (d *Deployment) Node(t testing.TB, name, more string) *Node {
	t.Helper()
	return d.NodeWith(t, name, more, "")
}

// NodeWith is Node with more in the section server, indented by two.
func (d *Deployment) NodeWith(t testing.TB, name, more, server string) *Node {
	t.Helper()
	address := freeAddress(t)
	more = strings.TrimRight(more, "\n") + "\nserver:\n  listen: " + address + "\n" + server
	return &Node{Address: address, DataDir: filepath.Join(d.dir, name), config: d.Config(t, name, more)}
}

// ProviderOptions are what an OpenID provider has beside what each has.
type ProviderOptions struct {
	// Server and Sessions are YAML in these sections, indented by two; with tls in the one
	// the issuer is https, and {issuer} in the other stands for it.
	Server, Sessions string
	// Hosts are others of this machine at which it is an issuer, too.
	Hosts []string
}

// Provider describes a node with the OpenID provider, whose pages are its own and whose
// letters go to a mail server.
func (d *Deployment) Provider(t testing.TB, name string, letters *MailServer, o ProviderOptions) *Node {
	t.Helper()
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http"
	if strings.Contains(o.Server, "tls:") {
		scheme = "https"
	}
	issuer := scheme + "://localhost:" + port
	issuers := []string{strconv.Quote(issuer)}
	for _, host := range o.Hosts {
		issuers = append(issuers, strconv.Quote(scheme+"://"+host+":"+port))
	}
	config := letters.Identity(t, "Example", issuer) + "sessions:\n  issuers: [" + strings.Join(issuers, ", ") + "]\n" + strings.ReplaceAll(o.Sessions, "{issuer}", issuer) + "server:\n  listen: " + address + "\n" + o.Server
	return &Node{Address: address, DataDir: filepath.Join(d.dir, name), config: d.Config(t, name, config), issuer: issuer}
}

// Issuer is the URL of the node's OpenID provider.
func (n *Node) Issuer() string { return n.issuer }

// freeAddress returns an address of this machine that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed below
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // only its address is wanted
	return listener.Addr().String()
}

// URL is where the node answers.
func (n *Node) URL() string {
	if strings.HasPrefix(n.issuer, "https:") {
		return "https://" + n.Address
	}
	return "http://" + n.Address
}

// Client returns a client of this node.
func (n *Node) Client(token string) *meridian.Client { return meridian.New(n.URL(), token) }

// Launch starts the node and does not wait until it is ready.
func (n *Node) Launch(t testing.TB) {
	t.Helper()
	n.Process = Start(t, "serve", "--config", n.config)
}

// Start starts the node and waits until it is ready.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	n.Launch(t)
	n.Ready(t)
}

// Ready waits until the node says that it is ready.
func (n *Node) Ready(t testing.TB) {
	t.Helper()
	Eventually(t, "the node is ready", func() error {
		select {
		case <-n.Exited():
			t.Fatalf("meridian serve ended: %v\n%s", n.err, n.Output())
		default:
		}
		return n.ready(t.Context())
	})
}

func (n *Node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+"/readyz", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // whether it answers is all that is asked
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only its status is wanted
	if res.StatusCode != http.StatusOK {
		return errNotReady
	}
	return nil
}

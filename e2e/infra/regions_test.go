package infra_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/e2e/harness"
)

const regionConfiguration = "../../infra/nats/region.conf"

// deployment is what infra/compose describes, on this machine instead of in
// containers: its secrets, and its NATS servers on free ports.
type deployment struct {
	compose compose
	// secrets is the folder of secrets.sh.
	secrets string
	// addresses are host:port here by those of the containers.
	addresses *strings.Replacer
	at        map[string]string
	servers   map[string]*server.Server
}

// makeSecrets runs the script that the deployment runs.
func makeSecrets(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{filepath.Join(composeFolder, "secrets.sh"), dir}, regions()...)...)
	cmd.Env = harness.Environment("MERIDIAN=" + harness.Binary(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
}

// startRegions starts the nine NATS servers with the environment that the
// compose file gives them.
func startRegions(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{
		compose: loadCompose(t), secrets: t.TempDir(),
		at: make(map[string]string), servers: make(map[string]*server.Server),
	}
	makeSecrets(t, d.secrets)
	for _, region := range regions() {
		for _, part := range []string{"nats-1", "nats-2", "nats-3"} {
			for _, port := range []string{"4222", "6222", "7222"} {
				d.at[region+"-"+part+":"+port] = freeAddress(t)
			}
		}
	}
	var pairs []string
	for container, here := range d.at {
		pairs = append(pairs, container, here)
	}
	d.addresses = strings.NewReplacer(pairs...)
	for _, region := range regions() {
		for _, part := range []string{"nats-1", "nats-2", "nats-3"} {
			d.startNATS(t, region, region+"-"+part)
		}
	}
	return d
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (d *deployment) startNATS(t *testing.T, region, name string) {
	t.Helper()
	d.environment(t, region, name)
	options, err := server.ProcessConfigFile(regionConfiguration)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for port, set := range map[string]func(host string, port int){
		"4222": func(host string, port int) { options.Host, options.Port = host, port },
		"6222": func(host string, port int) { options.Cluster.Host, options.Cluster.Port = host, port },
		"7222": func(host string, port int) { options.Gateway.Host, options.Gateway.Port = host, port },
	} {
		address, err := net.ResolveTCPAddr("tcp", d.at[name+":"+port])
		if err != nil {
			t.Fatal(err)
		}
		set(address.IP.String(), address.Port)
	}
	options.HTTPPort = 0
	options.NoSigs, options.NoLog = true, true
	running, err := server.NewServer(options)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	running.Start()
	t.Cleanup(func() {
		running.Shutdown()
		running.WaitForShutdown()
	})
	d.servers[name] = running
}

// environment sets what a server's container has: what the compose file says,
// and the passwords. Paths and addresses become those of this machine.
func (d *deployment) environment(t *testing.T, region, name string) {
	t.Helper()
	s, found := d.compose.Services[name]
	if !found {
		t.Fatalf("no service %s", name)
	}
	secrets := filepath.Join(d.secrets, region, "nats")
	for variable, value := range s.Environment {
		value = d.addresses.Replace(value)
		value = strings.Replace(value, "/secrets", secrets, 1)
		switch variable {
		case "NATS_STORE_DIR":
			value = t.TempDir()
		case "NATS_HOST":
			if value != name {
				t.Errorf("%s is reached at %s", name, value)
			}
			value = "127.0.0.1"
		}
		t.Setenv(variable, value)
	}
	passwords, err := os.ReadFile(filepath.Join(secrets, "nats.env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(passwords)) {
		variable, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		t.Setenv(variable, value)
	}
}

// connect connects as the services of a region do, or with the URL of somebody
// else.
func (d *deployment) connect(t *testing.T, urlFile, authority string) jetstream.JetStream {
	t.Helper()
	url, err := os.ReadFile(filepath.Join(d.secrets, urlFile))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(d.addresses.Replace(strings.TrimSpace(string(url))),
		nats.RootCAs(filepath.Join(d.secrets, authority)), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("%s: %v", urlFile, err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func (d *deployment) app(t *testing.T, region string) jetstream.JetStream {
	t.Helper()
	return d.connect(t, region+"/meridian/bus.url", region+"/meridian/ca.crt")
}

func TestRegions(t *testing.T) {
	d := startRegions(t)
	t.Run("one meta group spans all regions", d.testMetaGroup)
	t.Run("a stream and its mirrors", d.testMirror)
	t.Run("a gateway needs a server's certificate", d.testGatewayCertificate)
	t.Run("the services run", d.testServices)
}

func (d *deployment) testMetaGroup(t *testing.T) {
	harness.Eventually(t, "all servers are one meta group", func() error {
		var leaders []string
		for name, s := range d.servers {
			if n := s.NumOutboundGateways(); n != len(regions())-1 {
				return fmt.Errorf("%s has %d gateways", name, n)
			}
			if s.JetStreamIsLeader() {
				leaders = append(leaders, name)
				if peers := s.JetStreamClusterPeers(); len(peers) != len(d.servers) {
					return fmt.Errorf("the meta group has %d members", len(peers))
				}
			}
		}
		if len(leaders) != 1 {
			return fmt.Errorf("leaders are %v", leaders)
		}
		return nil
	})
}

func (d *deployment) testMirror(t *testing.T) {
	const events = 100
	home, far := d.app(t, "us-east"), d.app(t, "eu-west")
	config := jetstream.StreamConfig{
		Name: "LOG_TEST", Subjects: []string{"log.test.>"}, Replicas: 3,
		DenyDelete: true, DenyPurge: true, AllowDirect: true,
	}
	log := create(t, home, config)
	if info := log.CachedInfo(); info.Cluster.Name != "us-east" || len(info.Cluster.Replicas) != 2 {
		t.Errorf("the stream is in %+v", info.Cluster)
	}
	mirror := create(t, far, jetstream.StreamConfig{
		Name: "LOG_TEST_MIRROR_EU_WEST", Mirror: &jetstream.StreamSource{Name: "LOG_TEST"}, Replicas: 3,
		DenyDelete: true, DenyPurge: true, AllowDirect: true,
	})
	if info := mirror.CachedInfo(); info.Cluster.Name != "eu-west" || len(info.Cluster.Replicas) != 2 {
		t.Errorf("the mirror is in %+v", info.Cluster)
	}
	for i := range events {
		if _, err := home.Publish(t.Context(), "log.test.made", fmt.Appendf(nil, "event %d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	same := func() error {
		for i := range events {
			m, err := mirror.GetMsg(t.Context(), uint64(i+1))
			if err != nil {
				return fmt.Errorf("event %d: %w", i+1, err)
			}
			if !bytes.Equal(m.Data, fmt.Appendf(nil, "event %d", i+1)) {
				return fmt.Errorf("event %d is %q", i+1, m.Data)
			}
		}
		return nil
	}
	harness.Eventually(t, "the mirror has every event", same)

	for name, destroy := range map[string]func(context.Context) error{
		"delete the stream": func(ctx context.Context) error { return far.DeleteStream(ctx, "LOG_TEST") },
		"delete the mirror": func(ctx context.Context) error { return far.DeleteStream(ctx, "LOG_TEST_MIRROR_EU_WEST") },
		"purge":             func(ctx context.Context) error { return log.Purge(ctx) },
		"delete an event":   func(ctx context.Context) error { return log.DeleteMsg(ctx, 1) },
		"limit": func(ctx context.Context) error {
			limited := config
			limited.MaxMsgs = 1
			_, err := far.UpdateStream(ctx, limited)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := destroy(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("%s: error is %v, want a timeout", name, err)
		}
		cancel()
	}
	if info, err := log.Info(t.Context()); err != nil || info.State.Msgs != events {
		t.Fatalf("stream is %+v, %v", info, err)
	}
	if err := same(); err != nil {
		t.Error(err)
	}

	// Control: it is the permissions that refuse, for the operator may.
	operator := d.connect(t, "operator/nats.url", "operator/nats-ca.pem")
	for _, name := range []string{"LOG_TEST_MIRROR_EU_WEST", "LOG_TEST"} {
		if err := operator.DeleteStream(t.Context(), name); err != nil {
			t.Errorf("operator, %s: %v", name, err)
		}
	}
}

// create makes a stream; right after the start the servers may not know yet of
// three that could hold it.
func create(t *testing.T, js jetstream.JetStream, config jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	var stream jetstream.Stream
	harness.Eventually(t, "stream "+config.Name, func() (err error) {
		stream, err = js.CreateStream(t.Context(), config)
		return err
	})
	return stream
}

func (d *deployment) testGatewayCertificate(t *testing.T) {
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(filepath.Join(d.secrets, "us-east/nats/ca.crt"))
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		t.Fatalf("the authority is of no use: %v", err)
	}
	for name, c := range map[string]struct {
		certificate string
		admitted    bool
	}{
		"nobody":             {"", false},
		"one of the service": {"us-east/meridian/server", false},
		"a database client":  {"us-east/meridian/database/client.meridian", false},
		"a database node":    {"us-east/cockroach/node", false},
		"another region":     {"eu-west/nats/server", true}, // the control
	} {
		for _, port := range []string{"6222", "7222"} {
			config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
			if c.certificate != "" {
				certificate, err := tls.LoadX509KeyPair(
					filepath.Join(d.secrets, c.certificate+".crt"), filepath.Join(d.secrets, c.certificate+".key"))
				if err != nil {
					t.Fatal(err)
				}
				// Sent even where the server says that it trusts another authority.
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &certificate, nil
				}
			}
			greeting, err := greet(d.at["us-east-nats-1:"+port], config)
			if admitted := err == nil && strings.HasPrefix(greeting, "INFO "); admitted != c.admitted {
				t.Errorf("%s at %s: %q, %v", name, port, greeting, err)
			}
		}
	}
}

// greet returns the first bytes that a server says to another server.
func greet(address string, config *tls.Config) (string, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	first := make([]byte, 16)
	n, err := conn.Read(first) // with TLS 1.3 a refusal is seen here
	return string(first[:n]), err
}

// testServices runs what the compose file runs for Meridian, with the
// configuration files and secrets of the deployment, but on PostgreSQL. What is
// different on this machine, addresses and paths, comes from the environment.
func (d *deployment) testServices(t *testing.T) {
	database := harness.StartDatabase(t)
	identity := make(map[string]string)
	for _, region := range regions() {
		identity[region] = "https://" + freeAddress(t)
	}
	settings := func(region, listen, admin string) []string {
		secrets := filepath.Join(d.secrets, region, "meridian")
		bus, err := os.ReadFile(filepath.Join(secrets, "bus.url"))
		if err != nil {
			t.Fatal(err)
		}
		busFile := filepath.Join(t.TempDir(), "bus.url")
		if err := os.WriteFile(busFile, []byte(d.addresses.Replace(string(bus))), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{
			"MERIDIAN_DATABASE_URL=" + database.URL, "MERIDIAN_BUS_URL_FILE=" + busFile,
			"MERIDIAN_KEYS_SERVICE_FILE=" + filepath.Join(secrets, "service.key"),
			"MERIDIAN_KEYS_REGIONAL_FILE=" + filepath.Join(secrets, "regional.json"),
			"MERIDIAN_KEYS_BLIND_FILE=" + filepath.Join(secrets, "blind.key"),
			"MERIDIAN_SERVER_TLS_CERT_FILE=" + filepath.Join(secrets, "server.crt"),
			"MERIDIAN_SERVER_TLS_KEY_FILE=" + filepath.Join(secrets, "server.key"),
			"MERIDIAN_SERVER_LISTEN=" + listen, "MERIDIAN_SERVER_ADMIN=" + admin,
			"MERIDIAN_DATA_DIR=" + t.TempDir(), "MERIDIAN_IDENTITY_URLS=" + identity[region],
			"SSL_CERT_FILE=" + filepath.Join(secrets, "ca.crt"),
		}
	}
	configuration := func(region string) string {
		return filepath.Join(composeFolder, "config", region+".yaml")
	}
	must := func(env []string, args ...string) string {
		r := harness.Command{Args: args, Env: env}.Run(t)
		if r.Code != 0 {
			t.Fatalf("meridian %s: %+v", args[0], r)
		}
		return strings.TrimSpace(r.Stdout)
	}
	local := func() string { return "127.0.0.1:0" }
	must(settings("us-east", local(), local()), "migrate", "--config", configuration("us-east"))
	token := must(settings("us-east", local(), local()), "bootstrap", "--config", configuration("us-east"))

	for name, s := range d.compose.Services {
		region, part := regionOf(name)
		if !slices.Contains([]string{"identity", "authz", "relay"}, part) {
			continue
		}
		listen, admin := freeAddress(t), freeAddress(t)
		if part == "identity" {
			listen = strings.TrimPrefix(identity[region], "https://")
		}
		var args []string
		for _, a := range s.Command {
			args = append(args, strings.Replace(a, "/etc/meridian", filepath.Join(composeFolder, "config"), 1))
		}
		cmd := exec.Command(harness.Binary(t), args...)
		cmd.Env = harness.Environment(settings(region, listen, admin)...)
		process := harness.StartProcess(t, cmd)
		harness.Eventually(t, name+" is ready", func() error {
			select {
			case <-process.Exited():
				t.Fatalf("%s ended:\n%s", name, process.Output())
			default:
			}
			if r := harness.Run(t, "ready", "http://"+admin); r.Code != 0 {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}

	as := func(region string) []string {
		return []string{
			"MERIDIAN_URL=" + identity[region], "MERIDIAN_TOKEN=" + token,
			"SSL_CERT_FILE=" + filepath.Join(d.secrets, region, "meridian", "ca.crt"),
		}
	}
	must(as("us-east"), "org", "create", "acme")
	for _, region := range regions() {
		if list := must(as(region), "org", "list"); !strings.Contains(list, "acme") {
			t.Errorf("%s lists %q", region, list)
		}
	}
}

// The script keeps what exists, and gives no service more than it needs.
func TestComposeSecrets(t *testing.T) {
	dir := t.TempDir()
	makeSecrets(t, dir)
	before := contents(t, dir)
	makeSecrets(t, dir)
	if after := contents(t, dir); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("a second run changes what the first one made")
	}
	shared, regional := make(map[string]bool), make(map[string]bool)
	for _, region := range regions() {
		shared[before[region+"/meridian/service.key"]+before[region+"/meridian/blind.key"]] = true
		regional[before[region+"/meridian/regional.json"]] = true
		for folder, holder := range map[string]string{"cockroach/node": "node", "meridian/database/client.meridian": "meridian"} {
			if got := commonName(t, filepath.Join(dir, region, folder+".crt")); got != holder {
				t.Errorf("%s/%s is of %s", region, folder, got)
			}
		}
	}
	if len(shared) != 1 || len(regional) != len(regions()) {
		t.Errorf("%d service keys, %d regional keysets", len(shared), len(regional))
	}
	for path := range before {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if public := filepath.Base(path) == "ca.crt" || filepath.Base(path) == "nats-ca.pem"; !public && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if strings.HasSuffix(path, "ca.key") || strings.Contains(path, "password") && !strings.HasPrefix(path, "authority/") {
			t.Errorf("%s leaves the authority's folder", path)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func commonName(t *testing.T, path string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(path, strings.TrimSuffix(path, ".crt")+".key")
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.Subject.CommonName
}

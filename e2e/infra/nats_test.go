// Package infra_test tries out the configurations that infra ships.
package infra_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const natsConfiguration = "../../infra/nats/meridian.conf"

// natsEnvironment sets what the configuration takes from the environment, and
// returns what clients need to trust the certificate.
func natsEnvironment(t *testing.T) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	files := map[string][]byte{
		"cert.pem": certificatePEM,
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NATS_NAME", "eu-1")
	t.Setenv("NATS_STORE_DIR", filepath.Join(dir, "store"))
	t.Setenv("NATS_TLS_CERT", filepath.Join(dir, "cert.pem"))
	t.Setenv("NATS_TLS_KEY", filepath.Join(dir, "key.pem"))
	t.Setenv("NATS_APP_PASSWORD", "app-secret")
	t.Setenv("NATS_OPERATOR_PASSWORD", `"12345"`)
	t.Setenv("NATS_SYSTEM_PASSWORD", "system-secret")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificatePEM)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// startNATS runs the shipped configuration on free ports of this machine.
func startNATS(t *testing.T) (url string, trust *tls.Config) {
	t.Helper()
	trust = natsEnvironment(t)
	options, err := server.ProcessConfigFile(natsConfiguration)
	if err != nil {
		t.Fatal(err)
	}
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.HTTPPort = 0
	options.NoSigs, options.NoLog = true, true
	running, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	running.Start()
	t.Cleanup(func() {
		running.Shutdown()
		running.WaitForShutdown()
	})
	if !running.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not come up")
	}
	return running.ClientURL(), trust
}

func connect(t *testing.T, url string, trust *tls.Config, user, password string) (*nats.Conn, nats.JetStreamContext) {
	t.Helper()
	conn, err := nats.Connect(url, nats.Secure(trust), nats.UserInfo(user, password),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("%s cannot connect: %v", user, err)
	}
	t.Cleanup(conn.Close)
	js, err := conn.JetStream(nats.MaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

func TestNATSConfigurationParses(t *testing.T) {
	natsEnvironment(t)
	options, err := server.ProcessConfigFile(natsConfiguration)
	if err != nil {
		t.Fatal(err)
	}
	if !options.SyncAlways || !options.JetStream || options.JetStreamMaxStore <= 0 || options.StoreDir != os.Getenv("NATS_STORE_DIR") {
		t.Errorf("jetstream %v, sync always %v, store %s of %d bytes",
			options.JetStream, options.SyncAlways, options.StoreDir, options.JetStreamMaxStore)
	}
	if options.TLSConfig == nil || options.MaxPayload != 4<<20 || options.SystemAccount != "SYS" || options.HTTPHost != "127.0.0.1" {
		t.Errorf("tls %v, payload %d, system account %s, monitoring on %s",
			options.TLSConfig != nil, options.MaxPayload, options.SystemAccount, options.HTTPHost)
	}
}

// What is absent from the environment must keep the server from starting.
func TestNATSConfigurationNeedsItsEnvironment(t *testing.T) {
	for _, name := range []string{
		"NATS_NAME", "NATS_STORE_DIR", "NATS_APP_PASSWORD", "NATS_OPERATOR_PASSWORD", "NATS_SYSTEM_PASSWORD",
		"NATS_TLS_CERT", "NATS_TLS_KEY",
	} {
		t.Run(name, func(t *testing.T) {
			natsEnvironment(t)
			if err := os.Unsetenv(name); err != nil { // natsEnvironment puts it back
				t.Fatal(err)
			}
			if _, err := server.ProcessConfigFile(natsConfiguration); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error is %v, want one that names %s", err, name)
			}
		})
	}
}

// The services' user can do its work, and cannot destroy any of it.
func TestNATSServicesCannotDestroy(t *testing.T) {
	url, trust := startNATS(t)
	conn, app := connect(t, url, trust, "meridian", "app-secret")
	stream := nats.StreamConfig{Name: "LOG_EU", Subjects: []string{"log.eu.>"}, AllowDirect: true}
	if _, err := app.AddStream(&stream); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := app.Publish("log.eu.org_1.authz.Made", []byte("event")); err != nil {
			t.Fatal(err)
		}
	}

	// The server answers nothing to what is forbidden. That it was not done in
	// spite of that is seen below.
	impatient, err := conn.JetStream(nats.MaxWait(300 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	limited := stream
	limited.MaxMsgs = 1
	for name, destroy := range map[string]func(nats.JetStreamContext) error{
		"delete the stream": func(js nats.JetStreamContext) error { return js.DeleteStream("LOG_EU") },
		"purge it":          func(js nats.JetStreamContext) error { return js.PurgeStream("LOG_EU") },
		"delete an event":   func(js nats.JetStreamContext) error { return js.DeleteMsg("LOG_EU", 1) },
		"limit it": func(js nats.JetStreamContext) error {
			_, err := js.UpdateStream(&limited)
			return err
		},
	} {
		if err := destroy(impatient); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("%s: error is %v, want a timeout", name, err)
		}
	}
	info, err := app.StreamInfo("LOG_EU")
	if err != nil || info.State.Msgs != 3 {
		t.Fatalf("stream is %+v, %v, want 3 events", info, err)
	}
	if _, err := app.GetMsg("LOG_EU", 2, nats.DirectGet()); err != nil {
		t.Error("direct get:", err)
	}

	// Control: it is the permissions that refuse, for the operator may.
	_, operator := connect(t, url, trust, "operator", "12345")
	if err := operator.DeleteMsg("LOG_EU", 1); err != nil {
		t.Error("operator:", err)
	}
	if err := operator.DeleteStream("LOG_EU"); err != nil {
		t.Error("operator:", err)
	}
}

func TestNATSRefusesStrangers(t *testing.T) {
	url, trust := startNATS(t)
	for name, options := range map[string][]nats.Option{
		"nobody":           {nats.Secure(trust)},
		"a wrong password": {nats.Secure(trust), nats.UserInfo("meridian", "guess")},
		"no trust":         {nats.UserInfo("meridian", "app-secret")},
	} {
		if conn, err := nats.Connect(url, options...); err == nil {
			conn.Close()
			t.Errorf("%s can connect", name)
		}
	}
}

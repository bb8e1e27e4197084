package serve_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/serve"
)

func TestConnectClients(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	inside := &http.Client{Transport: bearing{"acme-read", pipeTransport{s.Client()}}}
	for name, c := range map[string]identityv1connect.OrganizationServiceClient{
		"connect over h2c":      s.client(t, "acme-read"),
		"connect over HTTP/1.1": identityv1connect.NewOrganizationServiceClient(httpClient(t, "acme-read", false), s.url),
		"connect JSON":          s.client(t, "acme-read", connect.WithProtoJSON()),
		"connect GET":           s.client(t, "acme-read", connect.WithHTTPGet()),
		"gRPC":                  s.client(t, "acme-read", connect.WithGRPC()),
		"gRPC-Web":              s.client(t, "acme-read", connect.WithGRPCWeb()),
		"gRPC-Web, HTTP/1.1":    identityv1connect.NewOrganizationServiceClient(httpClient(t, "acme-read", false), s.url, connect.WithGRPCWeb()),
		"in process":            identityv1connect.NewOrganizationServiceClient(inside, "http://in-process"),
	} {
		answer, err := c.GetOrganization(t.Context(), &identityv1.GetOrganizationRequest{Organization: acme})
		if err != nil || answer.GetOrganization().GetId() != acme {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
		if err := get(t.Context(), c, other); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%s: another's organization: %v", name, err)
		}
	}
}

// pipeTransport makes a RoundTripper of an HTTP client.
type pipeTransport struct{ client connect.HTTPClient }

func (p pipeTransport) RoundTrip(r *http.Request) (*http.Response, error) { return p.client.Do(r) }

func TestGRPCClient(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	conn, err := grpc.NewClient(strings.TrimPrefix(s.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	answer := new(identityv1.GetOrganizationResponse)
	request := &identityv1.GetOrganizationRequest{Organization: acme}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer acme-read")
	if err := conn.Invoke(ctx, identityv1connect.OrganizationServiceGetOrganizationProcedure, request, answer); err != nil || answer.GetOrganization().GetId() != acme {
		t.Errorf("%v, %v", answer, err)
	}
	for method, want := range map[string]codes.Code{
		"/meridian.identity.v1.OrganizationService/Nothing": codes.Unimplemented,
		"/meridian.nothing.v1.NothingService/Nothing":       codes.Unimplemented,
	} {
		if err := conn.Invoke(ctx, method, request, answer); status.Code(err) != want {
			t.Errorf("%s: %v, want %v", method, err, want)
		}
	}
	err = conn.Invoke(t.Context(), identityv1connect.OrganizationServiceGetOrganizationProcedure, request, answer)
	if status.Code(err) != codes.Unauthenticated || len(status.Convert(err).Details()) == 0 {
		t.Errorf("anonymous: %v", err)
	}
}

func TestHealthAndReflectionNeedNoToken(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	conn, err := grpc.NewClient(strings.TrimPrefix(s.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for service, want := range map[string]codes.Code{
		"": codes.OK, "meridian.identity.v1.OrganizationService": codes.OK, "meridian.nothing.v1.NothingService": codes.NotFound,
	} {
		answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if status.Code(err) != want || err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, answer, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectv1.ServerReflectionRequest{MessageRequest: &reflectv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetListServicesResponse().GetService()) != 3 {
		t.Errorf("reflection: %v, %v", answer, err)
	}
}

func TestPlainPost(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	client := httpClient(t, "acme-read", false)
	const path = identityv1connect.OrganizationServiceGetOrganizationProcedure
	for name, c := range map[string]struct {
		method, path, kind, body string
		status                   int
		holds                    string
	}{
		"good":              {"POST", path, "application/json", `{"organization":"` + acme + `"}`, 200, acme},
		"charset":           {"POST", path, "application/json; charset=utf-8", `{"organization":"` + acme + `"}`, 200, acme},
		"cut JSON":          {"POST", path, "application/json", "{\n\"organization\":", 400, `"body: not a message of this procedure (line 2, column 16)"`},
		"not JSON":          {"POST", path, "application/json", `{"organization" "x"}`, 400, `"body: not a message of this procedure (line 1, column 17)"`},
		"rule of JSON":      {"POST", path, "application/json", `{"organization":`, 400, `"rule":"json"`},
		"misspelt field":    {"POST", path, "application/json", `{"organisation":"x"}`, 400, `"body: the message has no field \"organisation\" (line 1, column 2)"`},
		"sentence as field": {"POST", path, "application/json", `{"my secret":"x"}`, 400, `"body: not a message of this procedure (line 1, column 2)"`},
		"long field":        {"POST", path, "application/json", `{"` + strings.Repeat("x", 49) + `":1}`, 400, `"body: not a message of this procedure (line 1, column 2)"`},
		"unknown in value":  {"POST", path, "application/json", `{"organization":[unknown field "secret"]}`, 400, `"body: not a message of this procedure (line 1, column 17)"`},
		"wrong type":        {"POST", path, "application/json", `{"organization":17}`, 400, `"INVALID_FIELD"`},
		"broken rule":       {"POST", path, "application/json", `{"organization":"platform"}`, 404, `"NOT_FOUND"`},
		"forged mark":       {"POST", path, "application/proto", string(protowire.AppendString(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.BytesType), "json 1:1 my secret")), 400, `"rule":"protobuf"`},
		"not protobuf":      {"POST", path, "application/proto", "\xff\xff", 400, `"rule":"protobuf"`},
		"unknown procedure": {"POST", "/meridian.identity.v1.OrganizationService/Nothing", "application/json", `{}`, 501, `"PROCEDURE_UNKNOWN"`},
		"unknown service":   {"POST", "/meridian.nothing.v1.NothingService/Nothing", "application/json", `{}`, 501, `"PROCEDURE_UNKNOWN"`},
		"unknown path":      {"POST", "/nothing", "application/json", `{}`, 404, "not found"},
		"unknown page":      {"GET", "/", "", ``, 404, "not found"},
		"unknown encoding":  {"POST", path, "text/html", ``, 415, ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", c.kind)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		squeezed := strings.ReplaceAll(string(body), " ", "")
		if strings.Contains(string(body), "secret") {
			t.Errorf("%s: the answer quotes the request: %s", name, body)
		}
		if response.StatusCode != c.status || !strings.Contains(squeezed, strings.ReplaceAll(c.holds, " ", "")) {
			t.Errorf("%s: %d %s, want %d and %s", name, response.StatusCode, body, c.status, c.holds)
		}
	}
}

func TestTLSReadsNewCertificates(t *testing.T) {
	t.Parallel()
	files := serve.TLS{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem")}
	writeCertificate(t, files, 1)
	var ahead atomic.Int64
	s := start(t, setup{
		config: serve.Config{TLS: files}, scheme: "https",
		clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	serial := func() int64 {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		response, err := client.Get(s.url + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.ProtoMajor != 2 {
			t.Errorf("spoke HTTP/%d over TLS, want 2", response.ProtoMajor)
		}
		return response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial %d, want 1", got)
	}
	writeCertificate(t, files, 20_000)
	ahead.Store(int64(time.Minute))
	if got := serial(); got != 20_000 {
		t.Errorf("serial %d after the files changed, want 20000", got)
	}
	if err := os.WriteFile(files.CertFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(2 * time.Minute))
	if got := serial(); got != 20_000 {
		t.Errorf("serial %d after the files broke, want the old 20000", got)
	}
}

// What TLS 1.2 is spoken with, by what a client offers.
func TestTLSSuites(t *testing.T) {
	t.Parallel()
	files := serve.TLS{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem")}
	writeCertificate(t, files, 1) // with a key for ECDSA
	s := start(t, setup{config: serve.Config{TLS: files}, scheme: "https"})
	for suite, taken := range map[uint16]bool{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       true,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       true,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          false,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          false,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: false,
	} {
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}}
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "https://"))
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != taken {
			t.Errorf("%s: %v, taken: want %t", tls.CipherSuiteName(suite), err, taken)
		}
	}
}

func writeCertificate(t *testing.T, files serve.TLS, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: certificate},
		files.KeyFile:  {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

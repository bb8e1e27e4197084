package provider_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// certify makes a certificate, by an authority or, without one, by itself.
func certify(t *testing.T, name string, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "mtls." + name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, with := template, any(key)
	if by != nil {
		parent, with = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// certified is a provider that asks clients for certificates.
type certified struct {
	node  *harness.Node
	token string
	roots *x509.CertPool
}

func startCertified(t *testing.T, authority tls.Certificate, sessions string) *certified {
	t.Helper()
	server, dir := certify(t, "localhost", nil), t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	d := harness.StartDeployment(t)
	c := &certified{token: d.Token, roots: x509.NewCertPool()}
	c.roots.AddCert(server.Leaf)
	c.node = d.Provider(t, "node", harness.StartMailServer(t), harness.ProviderOptions{
		Server: "  tls:\n    cert_file: " + file("cert.pem", "CERTIFICATE", server.Certificate[0]) +
			"\n    key_file: " + file("key.pem", "PRIVATE KEY", key) + "\n    client_certificates: true\n",
		Sessions: "  client_authorities_file: " + file("authority.pem", "CERTIFICATE", authority.Certificate[0]) + "\n" + sessions,
	})
	c.node.Start(t)
	return c
}

// call sends a request with certificates, and a token or "".
func (c *certified) call(t *testing.T, method, path, bearer, kind string, body []byte, with ...tls.Certificate) (int, map[string]any) {
	t.Helper()
	return c.callAt(t, c.node.Issuer(), method, path, bearer, kind, body, with...)
}

// callAt is call at a host that leads to the node, whatever it is.
func (c *certified) callAt(t *testing.T, at, method, path, bearer, kind string, body []byte, with ...tls.Certificate) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, at+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.roots, Certificates: with},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(c.node.URL(), "https://"))
		},
	}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out) // not all answers are JSON
	return res.StatusCode, out
}

// do makes a call as the operator.
func (c *certified) do(t *testing.T, procedure string, request map[string]any) map[string]any {
	t.Helper()
	request["idempotencyKey"] = rand.Text()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := c.call(t, http.MethodPost, "/meridian."+procedure, c.token, "application/json", body)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %v", procedure, status, answer)
	}
	return answer
}

// idOf is the id of what was made.
func idOf(t *testing.T, answer map[string]any, name string) string {
	t.Helper()
	made, _ := answer[name].(map[string]any)
	return text(t, made, "id")
}

// client makes one of an organization, or "", that gets tokens for itself.
func (c *certified) client(t *testing.T, organization string, settings map[string]any) string {
	t.Helper()
	settings["name"], settings["grantTypes"] = "Machine", []string{"GRANT_TYPE_CLIENT_CREDENTIALS"}
	return idOf(t, c.do(t, "sessions.v1.ClientService/CreateClient", map[string]any{"organization": organization, "settings": settings}), "client")
}

// deployer makes a service account that manages the groups of an organization.
func (c *certified) deployer(t *testing.T) (organization, account string) {
	t.Helper()
	organization = idOf(t, c.do(t, "identity.v1.OrganizationService/CreateOrganization", map[string]any{"slug": "acme", "name": "Acme"}), "organization")
	account = idOf(t, c.do(t, "identity.v1.ServiceAccountService/CreateServiceAccount", map[string]any{"organization": organization, "name": "deployer"}), "serviceAccount")
	published := c.do(t, "authz.v1.ModelService/PublishModel", map[string]any{"name": "console", "files": []any{map[string]any{"path": "m.fga", "content": model}}})
	c.do(t, "authz.v1.ModelService/AssignModel", map[string]any{"organization": organization, "model": idOf(t, published, "model")})
	c.do(t, "authz.v1.RelationshipService/WriteRelationships", map[string]any{"organization": organization, "updates": []any{map[string]any{
		"operation":    "OPERATION_TOUCH",
		"relationship": map[string]any{"resource": "organization:" + organization, "relation": "deployer", "subject": "service_account:" + account},
	}}})
	return organization, account
}

// ask asks for a token of a client.
func (c *certified) ask(t *testing.T, client string, with ...tls.Certificate) (int, map[string]any) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}}.Encode()
	return c.call(t, http.MethodPost, "/oauth2/token", "", "application/x-www-form-urlencoded", []byte(form), with...)
}

// TestCertificates: a client proves itself by its certificate of TLS, and its tokens are
// good with that certificate only.
func TestCertificates(t *testing.T) {
	const name = "app.example.com"
	authority := certify(t, "authority", nil)
	own, other, issued := certify(t, name, nil), certify(t, name, nil), certify(t, name, &authority)
	c := startCertified(t, authority, "")
	jwk, err := gojose.JSONWebKey{Key: own.Leaf.PublicKey, KeyID: "1"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	org, account := c.deployer(t)
	alone := c.client(t, "", map[string]any{
		"authentication": "CLIENT_AUTHENTICATION_SELF_SIGNED_TLS", "jwks": `{"keys":[` + string(jwk) + `]}`, "certificateBound": true,
	})
	vouched := c.client(t, org, map[string]any{
		"authentication": "CLIENT_AUTHENTICATION_TLS", "certificateSubject": "dns:" + name, "certificateBound": true,
		"serviceAccount": account, "scopes": []string{"meridian"},
	})
	for name, tc := range map[string]struct {
		client string
		with   []tls.Certificate
	}{
		"no certificate": {alone, nil}, "another key, of the same name": {alone, []tls.Certificate{other}}, "the authority's for a key": {alone, []tls.Certificate{issued}},
		"no certificate of the authority": {vouched, nil}, "nobody's": {vouched, []tls.Certificate{own}}, "the authority itself": {vouched, []tls.Certificate{authority}},
	} {
		if status, body := c.ask(t, tc.client, tc.with...); status != http.StatusUnauthorized || body["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
	for client, with := range map[string]tls.Certificate{alone: own, vouched: issued} {
		status, given := c.ask(t, client, with)
		token, _ := given["access_token"].(string)
		if status != http.StatusOK || token == "" {
			t.Fatalf("token: %d %v", status, given)
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(with.Certificate[0])
		if want := `"x5t#S256":"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`; !strings.Contains(string(payload), want) {
			t.Errorf("the token says %s, want %s", payload, want)
		}
		// O15: the API takes a token with its certificate, and one of a client alone may nothing.
		list := func(with ...tls.Certificate) int {
			status, _ := c.call(t, http.MethodPost, "/meridian.identity.v1.GroupService/ListGroups", token, "application/json", []byte(`{"organization":"`+org+`"}`), with...)
			return status
		}
		want := map[string]int{alone: http.StatusForbidden, vouched: http.StatusOK}[client]
		if status := list(with); status != want {
			t.Errorf("the API answers %d, want %d", status, want)
		}
		if none, others := list(), list(other); none != http.StatusUnauthorized || others != http.StatusUnauthorized {
			t.Errorf("the API answers %d without the certificate, and %d to another", none, others)
		}
	}
	if _, says := c.call(t, http.MethodGet, "/.well-known/oauth-protected-resource", "", "", nil); says["tls_client_certificate_bound_access_tokens"] == nil {
		t.Errorf("the API says of itself: %v", says)
	}
	_, metadata := c.call(t, http.MethodGet, "/.well-known/openid-configuration", "", "", nil)
	methods, _ := metadata["token_endpoint_auth_methods_supported"].([]any)
	if bound, _ := metadata["tls_client_certificate_bound_access_tokens"].(bool); !bound || !slices.Contains(methods, any("tls_client_auth")) {
		t.Errorf("metadata: %v", metadata)
	}
}

// TestCertificateHosts: who calls a host for clients with certificates is asked for one, and
// nobody else, so that browsers ask no person.
func TestCertificateHosts(t *testing.T) {
	const alias = "https://mtls.localhost"
	authority := certify(t, "authority", nil)
	issued := certify(t, "app.example.com", &authority)
	c := startCertified(t, authority, "  certificate_urls: {\"{issuer}\": \""+alias+"\"}\n")
	client := c.client(t, "", map[string]any{
		"authentication": "CLIENT_AUTHENTICATION_TLS", "certificateSubject": "dns:app.example.com", "certificateBound": true,
	})
	_, metadata := c.call(t, http.MethodGet, "/.well-known/openid-configuration", "", "", nil)
	aliases, _ := metadata["mtls_endpoint_aliases"].(map[string]any)
	for name, path := range map[string]string{
		"token_endpoint": "/oauth2/token", "userinfo_endpoint": "/oauth2/userinfo", "pushed_authorization_request_endpoint": "/oauth2/par",
		"revocation_endpoint": "/oauth2/revoke", "introspection_endpoint": "/oauth2/introspect", "device_authorization_endpoint": "/oauth2/device_authorization",
	} {
		if aliases[name] != alias+path || metadata[name] != c.node.Issuer()+path {
			t.Errorf("%s: %v, and %v", name, metadata[name], aliases[name])
		}
	}
	form := []byte(url.Values{"grant_type": {"client_credentials"}, "client_id": {client}}.Encode())
	const kind = "application/x-www-form-urlencoded"
	status, given := c.callAt(t, alias, http.MethodPost, "/oauth2/token", "", kind, form, issued)
	token, _ := given["access_token"].(string)
	if status != http.StatusOK || claims(t, token)["iss"] != c.node.Issuer() {
		t.Fatalf("where it is asked: %d %v", status, given)
	}
	for at, want := range map[string]int{alias: http.StatusForbidden, c.node.Issuer(): http.StatusUnauthorized} {
		if status, _ := c.callAt(t, at, http.MethodPost, "/meridian.identity.v1.GroupService/ListGroups", token, "application/json", []byte("{}"), issued); status != want {
			t.Errorf("the API at %s: %d, want %d: a client alone may nothing, where it is known", at, status, want)
		}
	}
	if _, says := c.call(t, http.MethodGet, "/.well-known/oauth-protected-resource", "", "", nil); says["tls_client_certificate_bound_access_tokens"] != nil {
		t.Errorf("the API says of itself, where nobody is asked: %v", says)
	}
	if status, given := c.call(t, http.MethodPost, "/oauth2/token", "", kind, form, issued); status != http.StatusUnauthorized || given["error"] != "invalid_client" {
		t.Errorf("where it is not asked: %d %v", status, given)
	}
	if status, _ := c.callAt(t, alias, http.MethodGet, "/sign-in", "", "", nil); status != http.StatusMisdirectedRequest {
		t.Errorf("pages at the host for clients: %d", status)
	}
	// A connection on which nobody was asked leads nowhere by the other name.
	asked := 0
	probe := &tls.Config{RootCAs: c.roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked++
		return &issued, nil
	}}
	for _, name := range []string{"localhost", "mtls.localhost"} {
		before := asked
		probe.ServerName = name
		conn, err := tls.Dial("tcp", strings.TrimPrefix(c.node.URL(), "https://"), probe)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Write([]byte("POST /oauth2/token HTTP/1.1\r\nHost: mtls.localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		head, _ := io.ReadAll(conn)
		_ = conn.Close()
		if was := asked > before; was != (name != "localhost") || strings.HasPrefix(string(head), "HTTP/1.1 421") == was {
			t.Errorf("at %s: asked %t, answer %.60s", name, was, head)
		}
	}
}

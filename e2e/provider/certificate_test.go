package provider_test

import (
	"bytes"
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
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// selfSigned makes a certificate of a key of its own.
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCertificates: a client proves itself by its certificate of TLS, and its tokens are
// good with that certificate only.
func TestCertificates(t *testing.T) {
	server := selfSigned(t, "localhost")
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: server.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := harness.StartDeployment(t)
	node := d.Provider(t, "node", harness.StartMailServer(t), "  tls:\n    cert_file: "+filepath.Join(dir, "cert.pem")+
		"\n    key_file: "+filepath.Join(dir, "key.pem")+"\n    client_certificates: true\n")
	node.Start(t)
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	with := func(certificates ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}}}
	}
	call := func(c *http.Client, path, bearer, kind string, body []byte) (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, node.Issuer()+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		res, err := c.Do(req)
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
	own, other := selfSigned(t, "app.example.com"), selfSigned(t, "app.example.com")
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := gojose.JSONWebKey{Key: leaf.PublicKey, KeyID: "1"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]any{
		"settings": map[string]any{
			"name": "Machine", "authentication": "CLIENT_AUTHENTICATION_SELF_SIGNED_TLS", "grantTypes": []string{"GRANT_TYPE_CLIENT_CREDENTIALS"},
			"jwks": `{"keys":[` + string(jwk) + `]}`, "certificateBound": true,
		},
		"idempotencyKey": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	status, made := call(with(), "/meridian.sessions.v1.ClientService/CreateClient", d.Token, "application/json", settings)
	client, _ := made["client"].(map[string]any)
	id, _ := client["id"].(string)
	if status != http.StatusOK || id == "" {
		t.Fatalf("create: %d %v", status, made)
	}
	form := []byte(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}}.Encode())
	const kind = "application/x-www-form-urlencoded"
	for name, c := range map[string]*http.Client{"no certificate": with(), "another key, of the same name": with(other)} {
		if status, body := call(c, "/oauth2/token", "", kind, form); status != http.StatusUnauthorized || body["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
	status, given := call(with(own), "/oauth2/token", "", kind, form)
	token, _ := given["access_token"].(string)
	if status != http.StatusOK || token == "" {
		t.Fatalf("token: %d %v", status, given)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(own.Certificate[0])
	if want := `"x5t#S256":"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`; !strings.Contains(string(payload), want) {
		t.Errorf("the token says %s, want %s", payload, want)
	}
	// The API of Meridian takes no token that is bound, with the certificate neither.
	if status, _ := call(with(own), "/meridian.identity.v1.GroupService/ListGroups", token, "application/json", []byte("{}")); status != http.StatusUnauthorized {
		t.Errorf("the API answers %d", status)
	}
	res, err := with().Get(node.Issuer() + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var metadata struct {
		Bound bool `json:"tls_client_certificate_bound_access_tokens"`
	}
	if err := json.NewDecoder(res.Body).Decode(&metadata); err != nil || !metadata.Bound {
		t.Errorf("metadata: %v, %v", metadata, err)
	}
}

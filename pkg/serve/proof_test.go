package serve_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	jwx "github.com/go-jose/go-jose/v4"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/serve"
)

const updateProcedure = identityv1connect.OrganizationServiceUpdateOrganizationProcedure

// prover is who has a key that tokens are bound to.
type prover struct {
	t          testing.TB
	key        *ecdsa.PrivateKey
	thumbprint string
}

func newProver(t testing.TB) *prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	thumbprint, err := jose.Thumbprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &prover{t, key, thumbprint}
}

// bound binds a token to the key.
func (p *prover) bound() func(map[string]any) {
	return claim("cnf", map[string]string{"jkt": p.thumbprint})
}

// proof makes a proof for a call with a token, with claims changed.
func (p *prover) proof(token, method, uri string, change ...func(map[string]any)) string {
	p.t.Helper()
	sum := sha256.Sum256([]byte(token))
	claims := map[string]any{
		"jti": id.New(id.Token), "htm": method, "htu": uri, "iat": time.Now().Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	for _, f := range change {
		f(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := jwx.NewSigner(jwx.SigningKey{Algorithm: jwx.ES256, Key: p.key}, (&jwx.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// call sends a request with headers to a host, and says what reason it is refused for, or
// "", and the challenge.
func (s *server) call(t *testing.T, method, host, path, authorization string, proofs ...string) (reason, challenge string) {
	t.Helper()
	body := io.Reader(strings.NewReader(`{"organization":"` + acme + `","idempotencyKey":"k"}`))
	if method == http.MethodGet {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {authorization}, "Dpop": proofs}
	res, err := httpClient(t, "", false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		return "", res.Header.Get("WWW-Authenticate")
	}
	for name := range commonv1.Reason_value {
		if strings.Contains(string(content), `"`+name+`"`) {
			return name, strings.Join(res.Header.Values("WWW-Authenticate"), " | ")
		}
	}
	t.Fatalf("%d %s", res.StatusCode, content)
	return "", ""
}

// O15: a token that is bound to a key is taken with a proof of the key, for this call, once.
func TestProofs(t *testing.T) {
	t.Parallel()
	const (
		host, uri = "api.example.com", "https://api.example.com" + updateProcedure
		post      = http.MethodPost
		rejected  = "TOKEN_REJECTED"
		unproved  = "PROOF_REJECTED"
	)
	p, own, other := newProvider(t), newProver(t), newProver(t)
	s, _ := startUpdating(t, p, setup{resource: &serve.Resource{
		Identifiers: []string{api, "urn:example:api", "https://Example.com:8443/v1/"}, Issuers: []string{"https://id.example.com"},
		Places: []string{"https://mtls.api.example.com", "mtls.other.example.com"},
	}})
	token, unbound := p.token(own.bound()), p.token()
	used := own.proof(token, post, uri)
	if reason, _ := s.call(t, post, host, updateProcedure, "DPoP "+token, used); reason != "" {
		t.Fatalf("the first call: %s", reason)
	}
	place := `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	challenge := func(code string) string {
		return `DPoP error="` + code + `", algs="ES256 ES384 EdDSA RS256 PS256", ` + place
	}
	for name, tc := range map[string]struct {
		host, authorization string
		proofs              []string
		reason, challenge   string
	}{
		"a new proof":                  {host, "DPoP " + token, []string{own.proof(token, post, uri)}, "", ""},
		"the scheme in small letters":  {host, "dpop " + token, []string{own.proof(token, post, uri)}, "", ""},
		"the host in capitals":         {"API.example.com", "DPoP " + token, []string{own.proof(token, post, uri)}, "", ""},
		"at a name with a path":        {"example.com:8443", "DPoP " + token, []string{own.proof(token, post, "https://example.com:8443"+updateProcedure)}, "", ""},
		"at another place":             {"mtls.api.example.com", "DPoP " + token, []string{own.proof(token, post, "https://mtls.api.example.com"+updateProcedure)}, "", ""},
		"unbound, as Bearer":           {host, "Bearer " + unbound, nil, "", ""},
		"unbound, with a proof":        {host, "Bearer " + unbound, []string{own.proof(unbound, post, uri)}, "", ""},
		"the proof again":              {host, "DPoP " + token, []string{used}, unproved, challenge("invalid_dpop_proof")},
		"no proof":                     {host, "DPoP " + token, nil, unproved, challenge("invalid_dpop_proof")},
		"two proofs":                   {host, "DPoP " + token, []string{own.proof(token, post, uri), own.proof(token, post, uri)}, unproved, challenge("invalid_dpop_proof")},
		"another key":                  {host, "DPoP " + token, []string{other.proof(token, post, uri)}, unproved, challenge("invalid_dpop_proof")},
		"another procedure":            {host, "DPoP " + token, []string{own.proof(token, post, uri+"s")}, unproved, challenge("invalid_dpop_proof")},
		"another method":               {host, "DPoP " + token, []string{own.proof(token, http.MethodGet, uri)}, unproved, challenge("invalid_dpop_proof")},
		"for another token":            {host, "DPoP " + token, []string{own.proof(p.token(own.bound()), post, uri)}, unproved, challenge("invalid_dpop_proof")},
		"too old":                      {host, "DPoP " + token, []string{own.proof(token, post, uri, claim("iat", time.Now().Unix()-100))}, unproved, challenge("invalid_dpop_proof")},
		"as Bearer":                    {host, "Bearer " + token, []string{own.proof(token, post, uri)}, rejected, challenge("invalid_token")},
		"as Bearer, without a proof":   {host, "Bearer " + token, nil, rejected, challenge("invalid_token")},
		"unbound, as DPoP":             {host, "DPoP " + unbound, []string{own.proof(unbound, post, uri)}, rejected, challenge("invalid_token")},
		"an API token, as DPoP":        {host, "DPoP acme-admin", []string{own.proof("acme-admin", post, uri)}, "TOKEN_MALFORMED", `DPoP algs="ES256 ES384 EdDSA RS256 PS256", ` + place},
		"expired":                      {host, "DPoP " + p.token(own.bound(), claim("iat", time.Now().Unix()-100), claim("exp", time.Now().Unix()-1)), nil, rejected, challenge("invalid_token")},
		"bound to something unknown":   {host, "Bearer " + p.token(claim("cnf", map[string]string{"kid": "x"})), nil, rejected, `Bearer error="invalid_token", ` + place},
		"to something unknown, proved": {host, "DPoP " + p.token(claim("cnf", map[string]string{"kid": "x"})), nil, rejected, challenge("invalid_token")},
		// Who serves another host was sent this proof, and sends it on.
		"a host of another":         {"evil.example", "DPoP " + token, []string{own.proof(token, post, "https://evil.example"+updateProcedure)}, unproved, challenge("invalid_dpop_proof")},
		"for the host of another":   {host, "DPoP " + token, []string{own.proof(token, post, "https://evil.example"+updateProcedure)}, unproved, challenge("invalid_dpop_proof")},
		"a name that is no URL":     {"mtls.other.example.com", "DPoP " + token, []string{own.proof(token, post, "https://mtls.other.example.com"+updateProcedure)}, unproved, challenge("invalid_dpop_proof")},
		"for another of its places": {host, "DPoP " + token, []string{own.proof(token, post, "https://mtls.api.example.com"+updateProcedure)}, unproved, challenge("invalid_dpop_proof")},
	} {
		reason, said := s.call(t, post, tc.host, updateProcedure, tc.authorization, tc.proofs...)
		if reason != tc.reason || said != tc.challenge {
			t.Errorf("%s: %q, challenge %s; want %q, %s", name, reason, said, tc.reason, tc.challenge)
		}
	}
	for name, with := range map[string]*serve.Resource{"nothing of itself": nil, "no place": {Identifiers: []string{"urn:example:api"}, Issuers: []string{"https://id.example.com"}}} {
		placeless, _ := startUpdating(t, p, setup{resource: with})
		if reason, _ := placeless.call(t, post, host, updateProcedure, "DPoP "+token, own.proof(token, post, uri)); reason != unproved {
			t.Errorf("a server that knows %s: %q", name, reason)
		}
	}
}

// A proof has the method of HTTP, which is GET for calls that browsers may keep.
func TestProofOfGet(t *testing.T) {
	t.Parallel()
	p, own := newProvider(t), newProver(t)
	const path = "/meridian.authz.v1.LookupService/ListObjects"
	s := start(t, setup{tokens: p, delegation: settings(p.user), resource: ourAPI, prepare: func(s *serve.Server) {
		schema := identityv1.File_meridian_identity_v1_organization_service_proto.Services().ByName("OrganizationService").Methods().ByName("UpdateOrganization")
		s.Mount("/meridian.authz.v1.LookupService/", connect.NewUnaryHandlerSimple(path, new(updater).UpdateOrganization,
			append(s.HandlerOptions(), connect.WithSchema(schema), connect.WithIdempotency(connect.IdempotencyNoSideEffects))...))
		plain(&commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_READ, Permission: "can_manage_settings"})(s)
	}})
	token := p.token(own.bound())
	query := "?connect=v1&encoding=json&message=" + `%7B%22organization%22%3A%22` + acme + `%22%2C%22idempotencyKey%22%3A%22k%22%7D`
	for method, want := range map[string]string{http.MethodGet: "", http.MethodPost: "PROOF_REJECTED"} {
		if reason, _ := s.call(t, http.MethodGet, "api.example.com", path+query, "DPoP "+token, own.proof(token, method, api+path)); reason != want {
			t.Errorf("GET with a proof for %s: %q", method, reason)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/plain/"+acme+"/hello?a=b", nil)
		if err != nil {
			t.Fatal(err)
		}
		proof := own.proof(token, method, api+"/plain/"+acme+"/hello")
		res, err := (&http.Client{Transport: proving{own, token, "api.example.com", proof, httpClient(t, "", false).Transport}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if taken := res.StatusCode == http.StatusOK; taken != (want == "") || !taken && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "DPoP ") {
			t.Errorf("plain GET with a proof for %s: %d %v", method, res.StatusCode, res.Header)
		}
	}
}

// proving sends a token with proofs of a key, to a host.
type proving struct {
	*prover
	token, host string
	// proof; empty: a new one each time.
	proof string
	next  http.RoundTripper
}

func (p proving) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	proof := p.proof
	if proof == "" {
		proof = p.prover.proof(p.token, r.Method, "https://"+p.host+r.URL.Path)
	}
	r.Host = p.host
	maps.Copy(r.Header, http.Header{"Authorization": {"DPoP " + p.token}, "Dpop": {proof}})
	return p.next.RoundTrip(r)
}

// Each protocol takes proofs, and says why it takes one not.
func TestProofsByProtocol(t *testing.T) {
	t.Parallel()
	p, own := newProvider(t), newProver(t)
	s, _ := startUpdating(t, p, setup{resource: ourAPI})
	token := p.token(own.bound())
	for name, option := range map[string]connect.ClientOption{"gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(), "Connect": connect.WithProtoJSON()} {
		proof := own.proof(token, http.MethodPost, api+updateProcedure)
		client := &http.Client{Transport: proving{own, token, "api.example.com", proof, httpClient(t, "", true).Transport}}
		c := identityv1connect.NewOrganizationServiceClient(client, s.url, option)
		for _, want := range []commonv1.Reason{0, commonv1.Reason_PROOF_REJECTED} {
			_, err := c.UpdateOrganization(t.Context(), &identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "k"})
			if reason(err) != want || (err == nil) != (want == 0) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
}

// A stream is proved when it opens; while it is open its token is verified as others are.
func TestProvedStream(t *testing.T) {
	t.Parallel()
	p, own := newProvider(t), newProver(t)
	s, _ := startUpdating(t, p, setup{resource: ourAPI})
	token := p.token(own.bound())
	proof := own.proof(token, http.MethodPost, api+updating)
	open := func() *connect.BidiStreamForClient[identityv1.UpdateOrganizationRequest, identityv1.UpdateOrganizationResponse] {
		client := &http.Client{Transport: proving{own, token, "api.example.com", proof, httpClient(t, "", true).Transport}}
		return connect.NewClient[identityv1.UpdateOrganizationRequest, identityv1.UpdateOrganizationResponse](client, s.url+updating, connect.WithGRPC()).CallBidiStream(t.Context())
	}
	stream := open()
	for i := range 3 {
		if err := stream.Send(&identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "k"}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	again := open()
	_ = again.Send(&identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "k"}) // the answer says why it fails
	if _, err := again.Receive(); reason(err) != commonv1.Reason_PROOF_REJECTED {
		t.Errorf("another stream with the proof: %v", err)
	}
	p.deny.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: "ses_1", NotBefore: time.Now()})
	if _, err := stream.Receive(); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("the stream ended with %v", err)
	}
}

// A token that is bound to a certificate is taken on connections on which it was shown.
func TestCertificateBound(t *testing.T) {
	t.Parallel()
	p, own := newProvider(t), newProver(t)
	files := func() serve.TLS {
		made := serve.TLS{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem"), ClientCertificates: true}
		writeCertificate(t, made, 1)
		return made
	}
	load := func(from serve.TLS) *tls.Certificate {
		pair, err := tls.LoadX509KeyPair(from.CertFile, from.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		return &pair
	}
	right, wrong := load(files()), load(files())
	thumbprint := accesstoken.CertificateOf(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{right.Leaf}})
	toCertificate := p.token(claim("cnf", map[string]string{"x5t#S256": thumbprint}))
	toBoth := p.token(claim("cnf", map[string]string{"x5t#S256": thumbprint, "jkt": own.thumbprint}))
	resource := &serve.Resource{Identifiers: []string{api}, Issuers: []string{"https://id.example.com"}}
	everywhere, _ := startUpdating(t, p, setup{scheme: "https", config: serve.Config{TLS: files()}, resource: resource})
	elsewhere, _ := startUpdating(t, p, setup{scheme: "https", config: serve.Config{TLS: files()}, resource: resource, asking: []string{"mtls.example.com"}})
	const rejected = commonv1.Reason_TOKEN_REJECTED
	for name, tc := range map[string]struct {
		s     *server
		token string
		shown *tls.Certificate
		sni   string
		proof bool
		want  commonv1.Reason
	}{
		"the certificate":                 {everywhere, toCertificate, right, "", false, 0},
		"another":                         {everywhere, toCertificate, wrong, "", false, rejected},
		"none":                            {everywhere, toCertificate, nil, "", false, rejected},
		"both":                            {everywhere, toBoth, right, "", true, 0},
		"another, with the proof":         {everywhere, toBoth, wrong, "", true, rejected},
		"the certificate, without proof":  {everywhere, toBoth, right, "", false, rejected},
		"bound to nothing":                {everywhere, p.token(), right, "", false, 0},
		"a host that asks":                {elsewhere, toCertificate, right, "mtls.example.com", false, 0},
		"a host that does not":            {elsewhere, toCertificate, right, "api.example.com", false, rejected},
		"a host that asks, and is a name": {elsewhere, toBoth, right, "mtls.example.com", true, 0},
	} {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, ServerName: tc.sni,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if tc.shown == nil {
					return new(tls.Certificate), nil
				}
				return tc.shown, nil
			},
		}}
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: bearing{tc.token, transport}}
		if tc.proof {
			client.Transport = proving{own, tc.token, "api.example.com", "", transport}
		}
		_, err := identityv1connect.NewOrganizationServiceClient(client, tc.s.url).UpdateOrganization(t.Context(),
			&identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "k"})
		if reason(err) != tc.want || (err == nil) != (tc.want == 0) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	plain, _ := startUpdating(t, p, setup{resource: resource})
	if err := update(t, plain, toCertificate, acme); reason(err) != rejected {
		t.Errorf("without TLS: %v", err)
	}
	// Each says of itself what it does.
	for s, want := range map[*server]bool{everywhere: true, elsewhere: false} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/.well-known/oauth-protected-resource", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "api.example.com"
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var says struct {
			Bound      bool     `json:"tls_client_certificate_bound_access_tokens"`
			Algorithms []string `json:"dpop_signing_alg_values_supported"`
		}
		err = json.NewDecoder(res.Body).Decode(&says)
		_ = res.Body.Close()
		client.CloseIdleConnections()
		if err != nil || says.Bound != want || len(says.Algorithms) != len(dpop.Algorithms()) {
			t.Errorf("%+v, %v; want %t", says, err, want)
		}
	}
}

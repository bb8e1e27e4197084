package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// party is somebody who signs what others are: a cluster, a build service, a trust
// domain.
type party struct {
	algorithm gojose.SignatureAlgorithm
	key       crypto.Signer
	kid, use  string
}

// keys are its public keys, as it publishes them.
func (p party) keys(t *testing.T) string {
	t.Helper()
	text, err := gojose.JSONWebKey{Key: p.key.Public(), KeyID: p.kid, Use: p.use}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return `{"keys":[` + string(text) + `]}`
}

// together are the keys of several sets.
func together(sets ...string) string {
	for i, set := range sets {
		sets[i] = strings.TrimSuffix(strings.TrimPrefix(set, `{"keys":[`), `]}`)
	}
	return `{"keys":[` + strings.Join(sets, ",") + `]}`
}

// sign makes a JWT with headers beside alg and kid.
func (p party) sign(t *testing.T, claims, headers map[string]any) string {
	t.Helper()
	options := &gojose.SignerOptions{}
	for name, value := range headers {
		options.WithHeader(gojose.HeaderKey(name), value)
	}
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: p.algorithm, Key: gojose.JSONWebKey{Key: p.key, KeyID: p.kid}}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func elliptical(t *testing.T, kid, use string) party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return party{gojose.ES256, key, kid, use}
}

func elliptical384(t *testing.T, kid string) party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return party{gojose.ES384, key, kid, "sig"}
}

func rivest(t *testing.T, kid string) party {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return party{gojose.RS256, key, kid, "sig"}
}

const (
	githubIssuer  = "https://token.actions.githubusercontent.com"
	clusterIssuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	trustDomain   = "spiffe://example.org"
	cloudIssuer   = "https://accounts.google.com"
	accountIssuer = "https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws"
)

// The claims that each party says, as it does.

func kubernetes(w *workloads) map[string]any {
	now := time.Now()
	return map[string]any{
		"aud": []string{w.audience}, "iss": clusterIssuer, "sub": "system:serviceaccount:production:deployer", "jti": rand.Text(),
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
		"kubernetes.io": map[string]any{
			"namespace": "production", "node": map[string]any{"name": "ip-10-0-1-2", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
			"pod":            map[string]any{"name": "deployer-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
			"serviceaccount": map[string]any{"name": "deployer", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"}, "warnafter": now.Unix() + 3607,
		},
	}
}

func actions(w *workloads) map[string]any {
	now := time.Now()
	return map[string]any{
		"jti": rand.Text(), "sub": "repo:example/app:ref:refs/heads/main", "aud": w.audience, "iss": githubIssuer,
		"ref": "refs/heads/main", "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "repository": "example/app", "repository_owner": "example",
		"repository_owner_id": "12", "run_id": "4711", "run_number": "10", "run_attempt": "2", "actor": "octocat", "workflow": "deploy",
		"event_name": "push", "ref_type": "branch", "job_workflow_ref": "example/app/.github/workflows/deploy.yml@refs/heads/main",
		"runner_environment": "github-hosted", "iat": now.Unix(), "nbf": now.Add(-10 * time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
}

func svid(w *workloads) map[string]any {
	now := time.Now()
	return map[string]any{
		"aud": []string{w.audience}, "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "sub": trustDomain + "/ns/production/sa/deployer",
	}
}

// compute is what the metadata server of Google Cloud gives, for an audience that is asked
// for.
func compute(w *workloads) map[string]any {
	now := time.Now()
	return map[string]any{
		"aud": w.audience, "azp": "112010400000000710080", "email": "deployer@example.iam.gserviceaccount.com", "email_verified": true,
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "iss": cloudIssuer, "sub": "112010400000000710080",
		"google": map[string]any{"compute_engine": map[string]any{"project_id": "example", "zone": "europe-west1-b", "instance_name": "build-1"}},
	}
}

// role is what GetWebIdentityToken of AWS gives, by the issuer of an account.
func role(w *workloads) map[string]any {
	now := time.Now()
	return map[string]any{
		"aud": w.audience, "sub": "arn:aws:iam::123456789012:role/Deployer", "iss": accountIssuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"https://sts.amazonaws.com/": map[string]any{
			"aws_account": "123456789012", "source_region": "eu-west-1", "org_id": "o-abc1234567",
			"principal_tags":             map[string]any{"environment": "production"},
			"lambda_source_function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:deploy",
		},
	}
}

// workloads are those of an organization.
type workloads struct {
	*world

	organization, account, audience string
	cluster, github, spire          party
	google, aws, awsRSA             party
	// trusts are the ids of trusts, by what they are about.
	trusts map[string]string
}

func (w *workloads) trust(t *testing.T, s *sessionsv1.TrustSettings) string {
	t.Helper()
	s.Name, s.Audience, s.ServiceAccount, s.MaxScopes, s.Resources = "Deployer", w.audience, w.account, []string{"deploy", "read"}, []string{orders, billing}
	made, err := w.Trusts.CreateTrust(t.Context(), &sessionsv1.CreateTrustRequest{Organization: w.organization, Settings: s, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetTrust().GetId()
}

func (w *world) workloads(t *testing.T, slug string) *workloads {
	t.Helper()
	out := &workloads{
		world: w, audience: w.issuer + "/" + slug, cluster: rivest(t, "8aL7"), github: rivest(t, "cc413527-173f"), spire: elliptical(t, "H0lJ", "jwt-svid"),
		google: rivest(t, "8bb2"), aws: elliptical384(t, "EC384_0"), awsRSA: rivest(t, "RSA_0"),
	}
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	out.organization = made.GetOrganization().GetId()
	account, err := w.ServiceAccounts.CreateServiceAccount(t.Context(), &identityv1.CreateServiceAccountRequest{
		Organization: out.organization, Name: "deployer", IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	out.account = account.GetServiceAccount().GetId()
	out.trusts = map[string]string{
		"Kubernetes":     out.trust(t, &sessionsv1.TrustSettings{Issuer: clusterIssuer, Subject: "system:serviceaccount:production:deployer", Jwks: out.cluster.keys(t)}),
		"GitHub Actions": out.trust(t, &sessionsv1.TrustSettings{Issuer: githubIssuer, Subject: "repo:example/app:*", Jwks: out.github.keys(t)}),
		"Google Cloud":   out.trust(t, &sessionsv1.TrustSettings{Issuer: cloudIssuer, Subject: "112010400000000710080", Jwks: out.google.keys(t)}),
		"AWS": out.trust(t, &sessionsv1.TrustSettings{
			Issuer: accountIssuer, Subject: "arn:aws:iam::123456789012:role/Deployer", Jwks: together(out.aws.keys(t), out.awsRSA.keys(t)),
		}),
		"SPIFFE": out.trust(t, &sessionsv1.TrustSettings{Issuer: trustDomain, Subject: trustDomain + "/ns/production/*", Jwks: out.spire.keys(t)}),
	}
	return out
}

// with are claims, of which one is another.
func with(claims map[string]any, name string, value any) map[string]any {
	claims[name] = value
	return claims
}

// show sends what a workload was given, with some parameters changed.
func (w *world) show(t *testing.T, trust, assertion string, change ...string) reply {
	t.Helper()
	fields := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "client_id": {trust}, "assertion": {assertion}}
	for i := 0; i+1 < len(change); i += 2 {
		if fields.Set(change[i], change[i+1]); change[i+1] == "" {
			fields.Del(change[i])
		}
	}
	return w.post(t, application{}, "/oauth2/token", fields)
}

// api is a client that asks about tokens for the APIs.
func (w *workloads) api(t *testing.T) (a application) {
	t.Helper()
	a.id, a.secret = w.client(t, &sessionsv1.ClientSettings{
		Name: "API", Authentication: basic, Resources: []string{orders}, GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS},
	})
	return a
}

func TestWorkloads(t *testing.T) {
	w := start(t)
	own, other := w.workloads(t, "analytical"), w.workloads(t, "difference")
	t.Run("given", func(t *testing.T) { testWorkloadsGiven(t, own) })
	t.Run("refused", func(t *testing.T) { testWorkloadsRefused(t, own, other) })
	t.Run("endings", func(t *testing.T) { testWorkloadEndings(t, own) })
}

func testWorkloadsGiven(t *testing.T, w *workloads) {
	api := w.api(t)
	for name, tc := range map[string]struct {
		trust, assertion string
	}{
		"Kubernetes":          {"Kubernetes", w.cluster.sign(t, kubernetes(w), nil)},
		"GitHub Actions":      {"GitHub Actions", w.github.sign(t, actions(w), map[string]any{"typ": "JWT", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE"})},
		"Google Cloud":        {"Google Cloud", w.google.sign(t, compute(w), map[string]any{"typ": "JWT"})},
		"AWS, ES384":          {"AWS", w.aws.sign(t, role(w), map[string]any{"typ": "JWT"})},
		"AWS, RS256":          {"AWS", w.awsRSA.sign(t, role(w), map[string]any{"typ": "JWT"})},
		"SPIFFE":              {"SPIFFE", w.spire.sign(t, svid(w), map[string]any{"typ": "JWT"})},
		"SPIFFE, typ JOSE":    {"SPIFFE", w.spire.sign(t, svid(w), map[string]any{"typ": "JOSE"})},
		"SPIFFE, without typ": {"SPIFFE", w.spire.sign(t, svid(w), nil)},
	} {
		t.Run(name, func(t *testing.T) {
			trust := w.trusts[tc.trust]
			r := w.show(t, trust, tc.assertion)
			if r.status != http.StatusOK || r.str("token_type") != "Bearer" || r.str("refresh_token") != "" || r.str("id_token") != "" || r.str("scope") != "deploy read" {
				t.Fatalf("answer %d %s", r.status, r.text)
			}
			if life, _ := r.body["expires_in"].(float64); life > 300 || life < 290 {
				t.Errorf("it lives %v s", life)
			}
			said := claims(t, r.str("access_token"))
			if aud, _ := said["aud"].([]any); said["sub"] != w.account || said["org"] != w.organization || said["client_id"] != trust || !slices.Equal(aud, []any{orders}) {
				t.Errorf("it says %v", said)
			}
			if !w.active(t, api, r.str("access_token")) {
				t.Error("the API does not take it")
			}
			// A file in a pod is read as often as it is needed.
			if again := w.show(t, trust, tc.assertion, "scope", "read", "resource", billing); again.status != http.StatusOK || again.str("scope") != "read" {
				t.Errorf("again: %d %s", again.status, again.text)
			}
			w.show(t, trust, tc.assertion, "scope", "admin").refused(t, http.StatusBadRequest, "invalid_scope")
			w.show(t, trust, tc.assertion, "resource", ledger).refused(t, http.StatusBadRequest, "invalid_target")
		})
	}
	// A token does not outlive what it was given for.
	short := actions(w)
	short["exp"] = time.Now().Add(20 * time.Second).Unix()
	if r := w.show(t, w.trusts["GitHub Actions"], w.github.sign(t, short, nil)); r.status != http.StatusOK || r.body["expires_in"].(float64) > 20 {
		t.Errorf("answer %d %s", r.status, r.text)
	}
	// Whoever is called by a workload can tell who acts when it calls on.
	id, secret := w.client(t, &sessionsv1.ClientSettings{
		Name: "API", Authentication: basic, Resources: []string{orders, ledger}, Scopes: []string{"read"},
		GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE},
	})
	token := w.show(t, w.trusts["GitHub Actions"], w.github.sign(t, actions(w), nil)).str("access_token")
	r := w.post(t, application{id, secret}, "/oauth2/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token}, "subject_token_type": {accessToken}, "audience": {ledger},
	})
	if r.status != http.StatusOK {
		t.Fatalf("exchange: %d %s", r.status, r.text)
	}
	if said := claims(t, r.str("access_token")); said["sub"] != w.account || said["azp"] != w.trusts["GitHub Actions"] {
		t.Errorf("the exchanged token says %v", said)
	}
}

func testWorkloadsRefused(t *testing.T, w, other *workloads) {
	trust := w.trusts["GitHub Actions"]
	good := func() string { return w.github.sign(t, actions(w), nil) }
	if r := w.show(t, trust, good()); r.status != http.StatusOK {
		t.Fatalf("the control: %d %s", r.status, r.text)
	}
	changed := func(name string, value any) string {
		c := actions(w)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return w.github.sign(t, c, nil)
	}
	svidOf := func(name string, value any) string {
		c := svid(w)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return w.spire.sign(t, c, nil)
	}
	now := time.Now()
	parts := strings.Split(good(), ".")
	thief := w.github
	thief.key = rivest(t, "x").key
	public, err := gojose.JSONWebKey{Key: w.github.key.Public()}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.HS256, Key: gojose.JSONWebKey{Key: public, KeyID: w.github.kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	hs, err := symmetric.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	secretly, err := hs.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := gojose.JSONWebKey{Key: thief.key.Public(), KeyID: thief.kid}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	header := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, tc := range map[string]struct{ trust, assertion string }{
		"J01 alg none":                {trust, header(`{"alg":"none"}`) + "." + parts[1] + "."},
		"J02 a secret for a key":      {trust, secretly},
		"another's key":               {trust, thief.sign(t, actions(w), nil)},
		"J05 a key that it brings":    {trust, thief.sign(t, actions(w), map[string]any{"jwk": json.RawMessage(embedded)})},
		"J06 a key that it names":     {trust, thief.sign(t, actions(w), map[string]any{"jku": "https://evil.example/jwks"})},
		"other claims":                {trust, parts[0] + "." + header(`{"iss":"`+githubIssuer+`","sub":"repo:example/app:x","aud":"`+w.audience+`","exp":9999999999}`) + "." + parts[2]},
		"another kind of token":       {trust, w.github.sign(t, actions(w), map[string]any{"typ": "at+jwt"})},
		"JOSE where it is not SPIFFE": {trust, w.github.sign(t, actions(w), map[string]any{"typ": "JOSE"})},
		"no token":                    {trust, "x"},
		"five parts":                  {trust, good() + ".x.x"},

		"for another":            {trust, changed("aud", "https://github.com/example")},
		"for another of ours":    {trust, changed("aud", other.audience)},
		"for nobody":             {trust, changed("aud", nil)},
		"another repository":     {trust, changed("sub", "repo:example/app-evil:ref:refs/heads/main")},
		"a repository named so":  {trust, changed("sub", "repo:evil/app:repo:example/app:x")},
		"another owner":          {trust, changed("sub", "repo:evil/app:ref:refs/heads/main")},
		"the repository as such": {trust, changed("sub", "repo:example/app:")},
		"sub is a list":          {trust, changed("sub", []string{"repo:example/app:x"})},
		"nobody":                 {trust, changed("sub", nil)},
		"another issuer":         {trust, changed("iss", clusterIssuer)},
		"no issuer":              {trust, changed("iss", nil)},
		"expired":                {trust, changed("exp", now.Unix()-1)},
		"never expires":          {trust, changed("exp", nil)},
		"expires in two days":    {trust, changed("exp", now.Add(48*time.Hour).Unix())},
		"expires as a text":      {trust, changed("exp", "9999999999")},
		"not yet":                {trust, changed("nbf", now.Add(time.Minute).Unix())},
		"of the future":          {trust, changed("iat", now.Add(time.Minute).Unix())},
		"a cluster's":            {trust, w.cluster.sign(t, kubernetes(w), nil)},
		"another namespace":      {w.trusts["Kubernetes"], w.cluster.sign(t, map[string]any{"iss": clusterIssuer, "sub": "system:serviceaccount:test:deployer", "aud": w.audience, "exp": now.Unix() + 60}, nil)},

		"another role":         {w.trusts["AWS"], w.aws.sign(t, with(role(w), "sub", "arn:aws:iam::123456789012:role/Deployer2"), nil)},
		"another AWS account":  {w.trusts["AWS"], w.aws.sign(t, with(role(w), "iss", "https://evil.tokens.sts.global.api.aws"), nil)},
		"AWS's key for Google": {w.trusts["Google Cloud"], w.aws.sign(t, compute(w), nil)},
		"an address for an id": {w.trusts["Google Cloud"], w.google.sign(t, with(compute(w), "sub", "deployer@example.iam.gserviceaccount.com"), nil)},
		"Google without https": {w.trusts["Google Cloud"], w.google.sign(t, with(compute(w), "iss", "accounts.google.com"), nil)},

		"another path":           {w.trusts["SPIFFE"], svidOf("sub", trustDomain+"/ns/test/sa/deployer")},
		"out of the path":        {w.trusts["SPIFFE"], svidOf("sub", trustDomain+"/ns/production/../test/sa/deployer")},
		"another trust domain":   {w.trusts["SPIFFE"], svidOf("sub", "spiffe://evil.example/ns/production/sa/deployer")},
		"no SPIFFE ID":           {w.trusts["SPIFFE"], svidOf("sub", "ns/production/sa/deployer")},
		"SVID that does not end": {w.trusts["SPIFFE"], svidOf("exp", nil)},
		"SVID of another issuer": {w.trusts["SPIFFE"], svidOf("iss", "https://evil.example")},

		"another organization's trust":  {other.trusts["GitHub Actions"], good()},
		"for another organization":      {trust, other.github.sign(t, actions(other), nil)},
		"no trust":                      {"tru_00000000000000000000000000", good()},
		"a client":                      {"cli_00000000000000000000000000", good()},
		"a trust with something behind": {trust + " ", good()},
	} {
		t.Run(name, func(t *testing.T) {
			w.show(t, tc.trust, tc.assertion).refused(t, http.StatusBadRequest, "invalid_grant")
		})
	}
	// What another organization's trust answers, and none, is the same.
	if a, b := w.show(t, other.trusts["GitHub Actions"], good()), w.show(t, "tru_00000000000000000000000000", good()); a.text != b.text {
		t.Errorf("another's trust answers %s, none %s", a.text, b.text)
	}
	for name, change := range map[string][]string{
		"no assertion": {"assertion", ""}, "no trust": {"client_id", ""}, "a secret": {"client_secret", "x"}, "two assertions": {"client_assertion", good()},
	} {
		t.Run(name, func(t *testing.T) {
			w.show(t, trust, good(), change...).refused(t, http.StatusBadRequest, "invalid_request")
		})
	}
	w.post(t, application{trust, "x"}, "/oauth2/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {good()},
	}).refused(t, http.StatusBadRequest, "invalid_request")
	// A trust is no client for anything else.
	for path, fields := range map[string]url.Values{
		"/oauth2/token":      {"grant_type": {"client_credentials"}, "client_id": {trust}},
		"/oauth2/introspect": {"token": {good()}, "client_id": {trust}},
	} {
		w.post(t, application{}, path, fields).refused(t, http.StatusUnauthorized, "invalid_client")
	}
}

// testWorkloadEndings: what ends the trust, the account or the organization ends the
// tokens.
func testWorkloadEndings(t *testing.T, w *workloads) {
	api := w.api(t)
	given := func(trust string) (token string) {
		t.Helper()
		// What was issued in the second in which the account was disabled is refused.
		eventually(t, "a token is good", func() bool {
			token = w.show(t, trust, w.github.sign(t, actions(w), nil)).str("access_token")
			return token != "" && w.active(t, api, token)
		})
		return token
	}
	trust := w.trusts["GitHub Actions"]
	token := given(trust)
	disable := func(disabled bool) {
		t.Helper()
		_, err := w.ServiceAccounts.UpdateServiceAccount(t.Context(), &identityv1.UpdateServiceAccountRequest{
			Organization: w.organization, ServiceAccount: w.account, Disabled: &disabled, IdempotencyKey: rand.Text(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	w.show(t, trust, w.github.sign(t, actions(w), nil)).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, api, token)
	disable(false)

	token = given(trust)
	other := w.trust(t, &sessionsv1.TrustSettings{Issuer: githubIssuer, Subject: "repo:example/app:*", Jwks: w.github.keys(t)})
	stays := given(other)
	if _, err := w.Trusts.DeleteTrust(t.Context(), &sessionsv1.DeleteTrustRequest{Organization: w.organization, Trust: trust, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.show(t, trust, w.github.sign(t, actions(w), nil)).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, api, token)
	if !w.active(t, api, stays) {
		t.Error("the token of another trust has ended too")
	}
	_, err := w.Organizations.SuspendOrganization(t.Context(), &identityv1.SuspendOrganizationRequest{Organization: w.organization, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	w.show(t, other, w.github.sign(t, actions(w), nil)).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, api, stays)
}

package trust_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
)

var at = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

const (
	github  = "https://token.actions.githubusercontent.com"
	cluster = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	domain  = "spiffe://example.org"
	aws     = "https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws"
)

func settings(issuer, subject string) *eventv1.TrustSettings {
	return &eventv1.TrustSettings{
		Name: "Deployer", Issuer: issuer, Jwks: "{}", Audience: "https://id.example/org_1", Subject: subject, ServiceAccount: "svc_1",
		MaxScopes: []string{"deploy"}, Resources: []string{"https://api.example"},
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	with := func(change func(*eventv1.TrustSettings)) *eventv1.TrustSettings {
		s := settings(github, "repo:example/app:ref:refs/heads/main")
		change(s)
		return s
	}
	for name, tc := range map[string]struct {
		settings    *eventv1.TrustSettings
		field, rule string
	}{
		"GitHub, one branch":          {settings: settings(github, "repo:example/app:ref:refs/heads/main")},
		"GitHub, one repository":      {settings: settings(github, "repo:example/app:*")},
		"GitHub, one owner":           {settings: settings(github, "repo:example/*")},
		"Kubernetes, one account":     {settings: settings(cluster, "system:serviceaccount:production:deployer")},
		"Kubernetes, one namespace":   {settings: settings(cluster, "system:serviceaccount:production:*")},
		"SPIFFE, one workload":        {settings: settings(domain, "spiffe://example.org/ns/production/sa/deployer")},
		"SPIFFE, some workloads":      {settings: settings(domain, "spiffe://example.org/ns/production/*")},
		"SPIFFE, the whole domain":    {settings: settings(domain, "spiffe://example.org/*")},
		"SVIDs of an OpenID issuer":   {settings: settings(cluster, "spiffe://example.org/ns/*")},
		"nothing":                     {field: "settings", rule: "required"},
		"a name of spaces":            {with(func(s *eventv1.TrustSettings) { s.Name = " " }), "settings.name", "required"},
		"keys that are fetched":       {settings: with(func(s *eventv1.TrustSettings) { s.Jwks, s.JwksUri = "", "https://keys.example/a?b=c" })},
		"keys that the issuer finds":  {settings: with(func(s *eventv1.TrustSettings) { s.Jwks = "" })},
		"keys in two ways":            {with(func(s *eventv1.TrustSettings) { s.JwksUri = "https://keys.example" }), "settings.jwks_uri", "one_of"},
		"keys over plain HTTP":        {with(func(s *eventv1.TrustSettings) { s.Jwks, s.JwksUri = "", "http://keys.example" }), "settings.jwks_uri", "https"},
		"keys of this machine's HTTP": {with(func(s *eventv1.TrustSettings) { s.Jwks, s.JwksUri = "", "http://localhost" }), "settings.jwks_uri", "https"},
		"keys by a name and password": {with(func(s *eventv1.TrustSettings) { s.Jwks, s.JwksUri = "", "https://a:b@keys.example" }), "settings.jwks_uri", "https"},
		"keys at a fragment":          {with(func(s *eventv1.TrustSettings) { s.Jwks, s.JwksUri = "", "https://keys.example#a" }), "settings.jwks_uri", "https"},
		"keys far away": {with(func(s *eventv1.TrustSettings) {
			s.Jwks, s.JwksUri = "", "https://keys.example/"+strings.Repeat("a", 500)
		}), "settings.jwks_uri", "https"},
		"SPIFFE, a bundle elsewhere":       {settings: &eventv1.TrustSettings{Name: "a", Issuer: domain, JwksUri: "https://spire.example/bundle", Audience: "a", Subject: domain + "/a", ServiceAccount: "svc_1"}},
		"SPIFFE, no bundle":                {&eventv1.TrustSettings{Name: "a", Issuer: domain, Audience: "a", Subject: domain + "/a", ServiceAccount: "svc_1"}, "settings.jwks_uri", "required"},
		"AWS, one role":                    {settings: settings(aws, "arn:aws:iam::123456789012:role/Deployer")},
		"AWS, the roles of a path":         {settings: settings(aws, "arn:aws:iam::123456789012:role/deploy/*")},
		"Google Cloud, one account":        {settings: settings("https://accounts.google.com", "112010400000000710080")},
		"for nobody":                       {with(func(s *eventv1.TrustSettings) { s.Audience = "" }), "settings.audience", "required"},
		"of nobody":                        {with(func(s *eventv1.TrustSettings) { s.ServiceAccount = "" }), "settings.service_account", "required"},
		"a person's scope":                 {with(func(s *eventv1.TrustSettings) { s.MaxScopes = append(s.MaxScopes, "openid") }), "settings.max_scopes[1]", "people"},
		"what outlives sessions":           {with(func(s *eventv1.TrustSettings) { s.MaxScopes = []string{"offline_access"} }), "settings.max_scopes[0]", "people"},
		"a resource that is no place":      {with(func(s *eventv1.TrustSettings) { s.Resources = []string{"api"} }), "settings.resources[0]", "absolute"},
		"plain HTTP":                       {settings("http://cluster.example", "a:b"), "settings.issuer", "https"},
		"plain HTTP on this machine":       {settings("http://localhost", "a:b"), "settings.issuer", "https"},
		"no issuer":                        {settings("", "a:b"), "settings.issuer", "https"},
		"script":                           {settings("javascript:alert(1)", "a:b"), "settings.issuer", "https"},
		"a query":                          {settings(github+"?a", "a:b"), "settings.issuer", "query"},
		"a fragment":                       {settings(github+"#a", "a:b"), "settings.issuer", "https"},
		"a trust domain in capitals":       {settings("spiffe://Example.org", "spiffe://Example.org/a"), "settings.issuer", "trust_domain"},
		"a trust domain with a path":       {settings(domain+"/a", domain+"/a/b"), "settings.issuer", "trust_domain"},
		"a trust domain with a port":       {settings(domain+":1", domain+":1/b"), "settings.issuer", "trust_domain"},
		"no trust domain":                  {settings("spiffe://", "spiffe:///a"), "settings.issuer", "trust_domain"},
		"no subject":                       {settings(github, ""), "settings.subject", "required"},
		"everybody":                        {settings(github, "*"), "settings.subject", "required"},
		"everybody at GitHub":              {settings(github, "repo:*"), "settings.subject", "too_many"},
		"everybody, with more colons":      {settings(github, "repo::*"), "settings.subject", "too_many"},
		"whoever is named so at first":     {settings(github, "repo:example*"), "settings.subject", "whole_parts"},
		"any environment of any":           {settings(github, "repo:*:environment:production"), "settings.subject", "one_star"},
		"two stars":                        {settings(github, "repo:example/**"), "settings.subject", "one_star"},
		"another trust domain's":           {settings(domain, "spiffe://example.com/a"), "settings.subject", "trust_domain"},
		"a trust domain that begins so":    {settings(domain, "spiffe://example.org.evil.example/a"), "settings.subject", "trust_domain"},
		"all trust domains":                {settings(domain, "spiffe://*"), "settings.subject", "trust_domain"},
		"all trust domains that begin so":  {settings(domain, "spiffe://example.org*"), "settings.subject", "whole_parts"},
		"the trust domain itself":          {settings(domain, "spiffe://example.org/"), "settings.subject", "trust_domain"},
		"a path with dots":                 {settings(domain, "spiffe://example.org/a/../b"), "settings.subject", "trust_domain"},
		"a path with nothing in it":        {settings(domain, "spiffe://example.org/a//*"), "settings.subject", "trust_domain"},
		"a path that is encoded":           {settings(domain, "spiffe://example.org/%61"), "settings.subject", "trust_domain"},
		"some other parts of a trust path": {settings(domain, "spiffe://example.org/a:*"), "settings.subject", "trust_domain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := trust.Complete(tc.settings)
			if tc.field == "" {
				if err != nil || !proto.Equal(got, tc.settings) {
					t.Errorf("%v, %v", got, err)
				}
				return
			}
			f, ok := fault.As(err)
			if !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != tc.field || f.Meta["rule"] != tc.rule {
				t.Errorf("%v, want %s %s", err, tc.field, tc.rule)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	branch, repository, owner := "repo:example/app:ref:refs/heads/main", "repo:example/app:*", "repo:example/*"
	namespace, workloads := "system:serviceaccount:production:*", "spiffe://example.org/ns/production/*"
	for name, tc := range map[string]struct {
		issuer, pattern, subject string
		want                     bool
	}{
		"exactly":                        {github, branch, branch, true},
		"another branch":                 {github, branch, "repo:example/app:ref:refs/heads/mainly", false},
		"a part of it":                   {github, branch, "repo:example/app:ref:refs/heads/mai", false},
		"in capitals":                    {github, branch, "repo:Example/app:ref:refs/heads/main", false},
		"a space behind it":              {github, branch, branch + " ", false},
		"a line behind it":               {github, branch, branch + "\n", false},
		"a null byte behind it":          {github, branch, branch + "\x00", false},
		"a letter that looks the same":   {github, branch, strings.Replace(branch, "a", "а", 1), false},
		"nobody":                         {github, branch, "", false},
		"the pattern as a subject":       {github, repository, "repo:example/app:*", true},
		"of a repository":                {github, repository, "repo:example/app:pull_request", true},
		"of one that begins so":          {github, repository, "repo:example/app-evil:ref:refs/heads/main", false},
		"of one that is named so":        {github, repository, "repo:evil/repo:example/app:x", false},
		"of nothing in it":               {github, repository, "repo:example/app:", false},
		"of an owner":                    {github, owner, "repo:example/app:ref:refs/heads/main", true},
		"of an owner that begins so":     {github, owner, "repo:example-evil/app:ref:refs/heads/main", false},
		"out of an owner":                {github, owner, "repo:example/../evil/app:x", false},
		"of a namespace":                 {cluster, namespace, "system:serviceaccount:production:deployer", true},
		"of another namespace":           {cluster, namespace, "system:serviceaccount:production-test:deployer", false},
		"of a workload":                  {domain, workloads, "spiffe://example.org/ns/production/sa/deployer", true},
		"of a workload elsewhere":        {domain, workloads, "spiffe://example.org/ns/test/sa/deployer", false},
		"out of a path":                  {domain, workloads, "spiffe://example.org/ns/production/../test/sa/deployer", false},
		"out of a path, encoded":         {domain, workloads, "spiffe://example.org/ns/production/%2e%2e/test", false},
		"a path with nothing in it":      {domain, workloads, "spiffe://example.org/ns/production//a", false},
		"a path that ends in a slash":    {domain, workloads, "spiffe://example.org/ns/production/a/", false},
		"of another trust domain":        {domain, workloads, "spiffe://evil.example/ns/production/a", false},
		"of a domain that begins so":     {domain, "spiffe://example.org/*", "spiffe://example.org.evil.example/a", false},
		"the whole trust domain":         {domain, "spiffe://example.org/*", "spiffe://example.org/a", true},
		"the trust domain itself":        {domain, "spiffe://example.org/*", "spiffe://example.org", false},
		"no SPIFFE ID":                   {domain, "spiffe://example.org/*", "system:serviceaccount:production:deployer", false},
		"longer than any":                {github, owner, "repo:example/" + strings.Repeat("a", 2048), false},
		"a trust that names nobody":      {github, "", "", false},
		"a trust that names everybody":   {github, "*", "repo:example/app:x", false},
		"a query behind the SPIFFE ID":   {domain, workloads, "spiffe://example.org/ns/production/a?b", false},
		"a user before the trust domain": {domain, "spiffe://example.org/*", "spiffe://a@example.org/a", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := trust.Matches(settings(tc.issuer, tc.pattern), tc.subject); got != tc.want {
				t.Errorf("%q of %q: %v", tc.subject, tc.pattern, got)
			}
		})
	}
}

func TestWrong(t *testing.T) {
	t.Parallel()
	ofGitHub := settings(github, "repo:example/app:*")
	ofDomain := settings(domain, "spiffe://example.org/ns/production/*")
	said := func(change map[string]any) map[string]any {
		claims := map[string]any{
			"iss": github, "sub": "repo:example/app:ref:refs/heads/main", "aud": "https://id.example/org_1",
			"exp": at.Add(5 * time.Minute).Unix(), "nbf": at.Add(-time.Minute).Unix(), "iat": at.Unix(),
		}
		for name, value := range change {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		return claims
	}
	svid := func(change map[string]any) map[string]any {
		claims := said(map[string]any{"iss": nil, "nbf": nil, "iat": nil, "sub": "spiffe://example.org/ns/production/sa/deployer", "aud": []string{"https://id.example/org_1"}})
		maps.Copy(claims, change)
		return claims
	}
	for name, tc := range map[string]struct {
		settings *eventv1.TrustSettings
		claims   map[string]any
		wrong    string // what the description begins with
	}{
		"as it should be":            {ofGitHub, said(nil), ""},
		"for several":                {ofGitHub, said(map[string]any{"aud": []string{"sts.amazonaws.com", "https://id.example/org_1"}}), ""},
		"an SVID":                    {ofDomain, svid(nil), ""},
		"an SVID of a named issuer":  {ofDomain, svid(map[string]any{"iss": domain}), ""},
		"almost 24 hours":            {ofGitHub, said(map[string]any{"exp": at.Add(24 * time.Hour).Unix()}), ""},
		"a clock that is ahead":      {ofGitHub, said(map[string]any{"nbf": at.Unix() + 9, "iat": at.Unix() + 9}), ""},
		"no iss":                     {ofGitHub, said(map[string]any{"iss": nil}), "iss"},
		"an empty iss":               {ofGitHub, said(map[string]any{"iss": ""}), "iss"},
		"another iss":                {ofGitHub, said(map[string]any{"iss": cluster}), "iss"},
		"iss with a slash":           {ofGitHub, said(map[string]any{"iss": github + "/"}), "iss"},
		"iss in capitals":            {ofGitHub, said(map[string]any{"iss": strings.ToUpper(github)}), "iss"},
		"an SVID of another issuer":  {ofDomain, svid(map[string]any{"iss": "https://evil.example"}), "iss"},
		"an SVID with an empty iss":  {ofDomain, svid(map[string]any{"iss": ""}), "iss"},
		"O12 for another":            {ofGitHub, said(map[string]any{"aud": "https://github.com/example"}), "aud"},
		"O12 for nobody":             {ofGitHub, said(map[string]any{"aud": nil}), "aud"},
		"O12 for none":               {ofGitHub, said(map[string]any{"aud": []string{}}), "aud"},
		"O12 for one that begins so": {ofGitHub, said(map[string]any{"aud": "https://id.example/org_12"}), "aud"},
		"O12 for several in one":     {ofGitHub, said(map[string]any{"aud": "https://id.example/org_1 x"}), "aud"},
		"expired":                    {ofGitHub, said(map[string]any{"exp": at.Unix()}), "it has expired"},
		"never expires":              {ofGitHub, said(map[string]any{"exp": nil}), "it has expired"},
		"an SVID that never expires": {ofDomain, svid(map[string]any{"exp": nil}), "it has expired"},
		"more than 24 hours":         {ofGitHub, said(map[string]any{"exp": at.Add(24*time.Hour + time.Second).Unix()}), "exp"},
		"a year":                     {ofGitHub, said(map[string]any{"exp": at.AddDate(1, 0, 0).Unix()}), "exp"},
		"exp without bounds":         {ofGitHub, said(map[string]any{"exp": 1e300}), "exp"},
		"not yet":                    {ofGitHub, said(map[string]any{"nbf": at.Unix() + 11}), "nbf"},
		"made in the future":         {ofGitHub, said(map[string]any{"iat": at.Unix() + 11}), "iat"},
		"another repository":         {ofGitHub, said(map[string]any{"sub": "repo:evil/app:ref:refs/heads/main"}), "sub"},
		"no sub":                     {ofGitHub, said(map[string]any{"sub": nil}), "sub"},
		"another SPIFFE ID":          {ofDomain, svid(map[string]any{"sub": "spiffe://example.org/ns/test/sa/deployer"}), "sub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(tc.claims)
			if err != nil {
				t.Fatal(err)
			}
			var claims trust.Claims
			if err := json.Unmarshal(text, &claims); err != nil {
				t.Fatal(err)
			}
			got := trust.Wrong(tc.settings, claims, at)
			if (tc.wrong == "") != (got == "") || !strings.HasPrefix(got, tc.wrong) {
				t.Errorf("%q, want %q", got, tc.wrong)
			}
		})
	}
	for _, text := range []string{`{"aud":1}`, `{"aud":{}}`, `{"aud":["a",1]}`, `{"iss":1}`, `{"exp":"1"}`, `{"sub":["a"]}`} {
		var claims trust.Claims
		if json.Unmarshal([]byte(text), &claims) == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	create := trust.Create{ID: id.New(id.Trust), Organization: id.New(id.Organization), Settings: settings(github, "repo:example/app:*")}
	events, err := create.Decide()
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	var s trust.State
	s.Apply(events[0])
	if s.ID != create.ID || !s.Equal(trust.State{ID: create.ID, Organization: create.Organization, Settings: create.Settings}) {
		t.Errorf("made %+v", s)
	}
	s.Apply(&eventv1.TrustDeleted{Trust: id.New(id.Trust)})
	if s.ID == "" {
		t.Error("another's end counts")
	}
	change := trust.Update{Settings: proto.CloneOf(create.Settings)}
	if events, err = change.Decide(s); err != nil || len(events) != 0 {
		t.Errorf("nothing changes: %v, %v", events, err)
	}
	change.Settings.Jwks, change.Settings.Subject = "", "repo:example/other:*"
	if events, err = change.Decide(s); err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	s.Apply(&eventv1.TrustSettingsChanged{Trust: id.New(id.Trust), Settings: settings(cluster, "a:b")})
	if s.Apply(events[0]); !proto.Equal(s.Settings, change.Settings) {
		t.Errorf("changed to %v", s.Settings)
	}
	for field, wrong := range map[string]trust.Update{
		"settings": {}, "settings.issuer": {settings(cluster, "repo:example/app:*")}, "settings.subject": {settings(github, "repo:*")},
	} {
		if _, err := wrong.Decide(s); !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
			t.Errorf("%s: %v", field, err)
		} else if f, _ := fault.As(err); f.Meta["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if events, err = (trust.Delete{}).Decide(s); err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	s.Apply(events[0])
	s.Apply(&eventv1.TrustSettingsChanged{Settings: change.Settings})
	if _, err := change.Decide(s); !fault.Is(err, commonv1.Reason_NOT_FOUND) || s.Settings != nil {
		t.Errorf("changed after its end: %v, %+v", err, s)
	}
	if _, err := (trust.Delete{}).Decide(s); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("deleted twice: %v", err)
	}
	create.Others = trust.Limit
	if _, err := create.Decide(); !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
		t.Errorf("one too many: %v", err)
	}
	create.Others, create.ID = 0, "cli_1"
	if _, err := create.Decide(); !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("another id: %v", err)
	}
}

// What matches a pattern begins with what is before the star, and is longer.
func FuzzMatches(f *testing.F) {
	f.Add(github, "repo:example/*", "repo:example/app:x")
	f.Add(domain, "spiffe://example.org/a/*", "spiffe://example.org/a/b")
	f.Fuzz(func(t *testing.T, issuer, pattern, subject string) {
		s := settings(issuer, pattern)
		if _, err := trust.Complete(s); err != nil || !trust.Matches(s, subject) {
			return
		}
		prefix, open := strings.CutSuffix(pattern, "*")
		if !strings.HasPrefix(subject, prefix) || open == (subject == prefix) || trust.IsSPIFFE(issuer) && !strings.HasPrefix(subject, issuer+"/") {
			t.Errorf("%q matches %q of %q", subject, pattern, issuer)
		}
	})
}

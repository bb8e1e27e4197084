package trust_test

import (
	"strings"
	"testing"
	"time"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
)

func TestSourceOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		settings *eventv1.TrustSettings
		want     trust.Source
		abroad   bool
	}{
		"in the trust":      {&eventv1.TrustSettings{Issuer: github, Jwks: "{}"}, trust.Source{}, false},
		"somewhere":         {&eventv1.TrustSettings{Issuer: github, JwksUri: "https://keys.example"}, trust.Source{URI: "https://keys.example"}, true},
		"where it says":     {&eventv1.TrustSettings{Issuer: github}, trust.Source{Issuer: github}, true},
		"a bundle":          {&eventv1.TrustSettings{Issuer: domain, JwksUri: "https://keys.example"}, trust.Source{URI: "https://keys.example", Bundle: true}, true},
		"a bundle in it":    {&eventv1.TrustSettings{Issuer: domain, Jwks: "{}"}, trust.Source{}, false},
		"both, as none can": {&eventv1.TrustSettings{Issuer: github, Jwks: "{}", JwksUri: "https://keys.example"}, trust.Source{}, false},
	} {
		if got, abroad := trust.SourceOf(tc.settings); got != tc.want || abroad != tc.abroad {
			t.Errorf("%s: %+v, %v", name, got, abroad)
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		github: github + "/.well-known/openid-configuration", cluster: cluster + "/.well-known/openid-configuration",
		"https://id.example/": "https://id.example/.well-known/openid-configuration",
	} {
		if got := trust.ConfigurationURI(issuer); got != want {
			t.Errorf("%s: %s", issuer, got)
		}
	}
	const keys = "https://keys.example/jwks"
	for name, tc := range map[string]struct {
		said trust.Configuration
		want bool
	}{
		"as it should be":       {trust.Configuration{Issuer: github, KeysURI: keys}, true},
		"another issuer":        {trust.Configuration{Issuer: cluster, KeysURI: keys}, false},
		"with a slash":          {trust.Configuration{Issuer: github + "/", KeysURI: keys}, false},
		"in capitals":           {trust.Configuration{Issuer: strings.ToUpper(github), KeysURI: keys}, false},
		"no issuer":             {trust.Configuration{KeysURI: keys}, false},
		"no keys":               {trust.Configuration{Issuer: github}, false},
		"keys over plain HTTP":  {trust.Configuration{Issuer: github, KeysURI: "http://keys.example"}, false},
		"keys of this machine":  {trust.Configuration{Issuer: github, KeysURI: "http://localhost/jwks"}, false},
		"keys in a file":        {trust.Configuration{Issuer: github, KeysURI: "file:///etc/passwd"}, false},
		"a place far away":      {trust.Configuration{Issuer: github, KeysURI: keys + strings.Repeat("a", 500)}, false},
		"a name and a password": {trust.Configuration{Issuer: github, KeysURI: "https://a:b@keys.example/jwks"}, false},
	} {
		if got := tc.said.Of(github); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLifeOfKeys(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": 5 * time.Minute, "public": 5 * time.Minute, "max-age=600": 10 * time.Minute, "public, Max-Age=600, must-revalidate": 10 * time.Minute,
		"max-age=0": time.Minute, "max-age=59": time.Minute, "max-age=86400": time.Hour, "max-age=99999999999999999999": 5 * time.Minute,
		"max-age=-1": 5 * time.Minute, "max-age": 5 * time.Minute, `max-age="600"`: 10 * time.Minute, "s-maxage=600": 5 * time.Minute,
		"no-store": time.Minute, "no-cache, max-age=600": time.Minute,
	} {
		if got := trust.Life([]string{header}); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	if got := trust.Life([]string{"public", "max-age=120"}); got != 2*time.Minute {
		t.Errorf("two headers: %s", got)
	}
	if got := trust.Life(nil); got != 5*time.Minute {
		t.Errorf("no header: %s", got)
	}
}

// Keys are fetched when they are old, and for a key that is not among them; what fails
// is not tried again and again.
func TestKept(t *testing.T) {
	t.Parallel()
	never := trust.Kept{}
	once := never.Begun(false, at).Fetched(10*time.Minute, at)
	asked := once.Begun(false, at.Add(time.Minute)).Fetched(10*time.Minute, at.Add(time.Minute))
	old := at.Add(11 * time.Minute)
	failed := once.Begun(true, old).Failed(old)
	often := failed
	for range 100 {
		often = often.Failed(old)
	}
	none := never.Begun(false, at).Failed(at)
	for name, tc := range map[string]struct {
		kept      trust.Kept
		among     bool
		after     time.Duration
		due, good bool
	}{
		"never fetched":                   {never, false, 0, true, false},
		"fetched":                         {once, true, 0, false, true},
		"almost old":                      {once, true, 10*time.Minute - 1, false, true},
		"old":                             {once, true, 10 * time.Minute, true, true},
		"a key that is not there":         {once, false, time.Second, true, true},
		"another one at once":             {asked, false, time.Minute + time.Second, false, true},
		"another one, almost a minute":    {asked, false, 2*time.Minute - 1, false, true},
		"another one after a minute":      {asked, false, 2 * time.Minute, true, true},
		"one that is there":               {asked, true, 2 * time.Minute, false, true},
		"failed":                          {failed, true, 11 * time.Minute, false, true},
		"failed, a key that is not there": {failed, false, 11*time.Minute + 9*time.Second, false, true},
		"failed, after the pause":         {failed, true, 11*time.Minute + 10*time.Second, true, true},
		"failed often":                    {often, true, 16*time.Minute - 1, false, true},
		"failed often, after the pause":   {often, true, 16 * time.Minute, true, true},
		"failed for almost an hour":       {often, true, 70*time.Minute - 1, true, true},
		"failed for an hour":              {often, true, 70 * time.Minute, true, false},
		"failed at first":                 {none, false, time.Second, false, false},
		"failed at first, after a pause":  {none, false, 10 * time.Second, true, false},
		"right again":                     {failed.Fetched(time.Minute, old), true, 11 * time.Minute, false, true},
	} {
		now := at.Add(tc.after)
		if due, good := tc.kept.Due(tc.among, now), tc.kept.Good(now); due != tc.due || good != tc.good {
			t.Errorf("%s: due %v, good %v", name, due, good)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JWK-Set+JSON": true, "application/jwk-set+json;x": true,
		"": false, "text/html": false, "text/plain": false, "application/octet-stream": false, "text/html; a=application/json": false, "image/svg+json": false,
	} {
		if got := trust.JSON(kind); got != want {
			t.Errorf("%q: %v", kind, got)
		}
	}
}

package oidc_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/services/sessions/internal/oidc"
)

// lines are those of a log, as they come.
type lines chan []byte

// Write implements io.Writer.
func (l lines) Write(line []byte) (int, error) {
	l <- append([]byte(nil), line...)
	return len(line), nil
}

// TestRefusals: what is refused is on record, with nothing of what was sent but the
// client's id.
func TestRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	recorded, registry := make(lines, 10), prometheus.NewRegistry()
	f.provider.Refusals = oidc.NewRefusals(slog.New(slog.NewJSONHandler(recorded, nil)), registry, nil)
	a, unknown := f.client(t), id.New(id.Client)
	const hostile = "s3cret-of-somebody"
	for name, tc := range map[string]struct {
		user, password string
		form           url.Values
		client, error  string
	}{
		"a wrong secret":      {user: a.id, password: hostile, form: url.Values{"grant_type": {"client_credentials"}}, client: a.id, error: "invalid_client"},
		"an unknown client":   {form: url.Values{"grant_type": {"client_credentials"}, "client_id": {unknown}}, client: unknown, error: "invalid_client"},
		"no client":           {form: url.Values{"grant_type": {"client_credentials"}, "client_id": {hostile}}, error: "invalid_client"},
		"a forged code":       {user: a.id, password: a.secret, form: url.Values{"grant_type": {"authorization_code"}, "code": {hostile}}, client: a.id, error: "invalid_grant"},
		"a grant that is not": {user: a.id, password: a.secret, form: url.Values{"grant_type": {hostile}}, client: a.id, error: "unsupported_grant_type"},
		"said twice":          {user: a.id, password: a.secret, form: url.Values{"grant_type": {"client_credentials", hostile}}, client: a.id, error: "invalid_request"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, host+"/oauth2/token", strings.NewReader(tc.form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if tc.user != "" {
			r.SetBasicAuth(tc.user, tc.password)
		}
		res, err := f.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		line := <-recorded // written before the answer
		var said struct {
			Message  string `json:"msg"`
			Endpoint string `json:"endpoint"`
			Issuer   string `json:"issuer"`
			Client   string `json:"client"`
			Error    string `json:"error"`
		}
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		if said.Message != "refused" || said.Endpoint != "POST /oauth2/token" || said.Issuer != issuer || said.Client != tc.client || said.Error != tc.error {
			t.Errorf("%s: recorded %s", name, line)
		}
		if strings.Contains(string(line), hostile) {
			t.Errorf("%s: the record quotes the request: %s", name, line)
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	counted := 0.0
	for _, m := range families[0].GetMetric() {
		counted += m.GetCounter().GetValue()
	}
	if counted != 6 || len(recorded) != 0 {
		t.Errorf("counted %v, and %d lines more", counted, len(recorded))
	}
}

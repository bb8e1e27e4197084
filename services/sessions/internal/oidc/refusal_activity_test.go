package oidc_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/activity"
	"github.com/meridian-iam/meridian/pkg/id"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/oidc"
)

// TestRefusalsAreActivity: whose client it is is recorded where it was found out on the
// way, and nothing that a stranger wrote.
func TestRefusalsAreActivity(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var observed []activity.Observation // of one request after the other
	f.provider.Refusals = oidc.NewRefusals(slog.New(slog.DiscardHandler), nil, func(o activity.Observation) { observed = append(observed, o) })
	org, unknown := f.organization(t), id.New(id.Client)
	a := f.clientOf(t, org, &eventv1.ClientSettings{GrantTypes: []int32{int32(sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS)}})
	const canary, path = "s3cret-of-somebody", "/oauth2/token"
	document := "https://agent.example/" + canary
	for name, tc := range map[string]struct {
		user string
		form url.Values
		want activity.Observation // but for what all have
	}{
		"a wrong secret": {
			user: a.id, form: url.Values{"grant_type": {"client_credentials"}},
			want: activity.Observation{
				Client: a.id, Organization: org, Registered: true,
				Error: "invalid_client", Description: "the client is unknown, or could not be authenticated",
			},
		},
		"said twice, before anybody was looked up": {
			user: a.id, form: url.Values{"grant_type": {"client_credentials", canary}},
			want: activity.Observation{Client: a.id, Error: "invalid_request", Description: "a parameter is there more than once"},
		},
		"a client that there is not": {
			form: url.Values{"grant_type": {"client_credentials"}, "client_id": {unknown}},
			want: activity.Observation{
				Client: unknown, Error: "invalid_client", Description: "the client is unknown, or could not be authenticated",
			},
		},
		"a name that can be none": {
			form: url.Values{"grant_type": {"client_credentials"}, "client_id": {canary}},
			want: activity.Observation{Error: "invalid_client", Description: "the client is unknown, or could not be authenticated"},
		},
		"a URL that nobody read": {
			form: url.Values{"grant_type": {"client_credentials"}, "client_id": {document}},
			want: activity.Observation{Error: "invalid_client", Description: "the client is unknown, or could not be authenticated"},
		},
	} {
		observed = nil
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, host+path, strings.NewReader(tc.form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		if tc.user != "" {
			r.SetBasicAuth(tc.user, canary)
		}
		res, err := f.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		tc.want.Kind, tc.want.Issuer, tc.want.Endpoint = auditv1.ActivityKind_ACTIVITY_KIND_REQUEST_REFUSED, issuer, "POST "+path
		tc.want.Trace = "0af7651916cd43dd8448eb211c80319c"
		if len(observed) != 1 || observed[0] != tc.want {
			t.Errorf("%s: observed %+v, want %+v", name, observed, tc.want)
		}
		if strings.Contains(fmt.Sprint(observed), canary) {
			t.Errorf("%s: what is observed quotes the request: %+v", name, observed)
		}
	}
}

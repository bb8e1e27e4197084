package provider_test

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/meridian-iam/meridian/pkg/id"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// canary is in all that is sent, and must be in no record.
const canary = "canary-7f3a9c"

// TestActivity: what the provider refuses is on record, few records however much is
// refused, and nobody waits for the records.
func TestActivity(t *testing.T) {
	w := start(t, "127.0.0.1")
	w.user(t, "ada@example.com")
	for _, part := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"bad input is on record", testBadInputIsOnRecord},
		{"a flood is few records", testFlood},
		{"NATS away", testActivityWithoutNATS},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, w) })
	}
}

// activity lists all that is asked for.
func (w *world) activity(t *testing.T, req *auditv1.ListActivityRequest) (found []*auditv1.Activity) {
	t.Helper()
	req.PageSize = 200
	for {
		answer, err := w.Activity.ListActivity(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, answer.GetActivities()...)
		if req.Cursor = answer.GetNextCursor(); req.GetCursor() == "" {
			return found
		}
	}
}

// refusal is what a record must say.
type refusal struct{ endpoint, error, client, organization, issuer string }

func (w *world) onRecord(t *testing.T, want refusal) {
	t.Helper()
	eventually(t, fmt.Sprintf("%+v is on record", want), func() bool {
		for _, a := range w.activity(t, &auditv1.ListActivityRequest{Client: want.client, Organization: want.organization, Error: want.error}) {
			if (refusal{a.GetEndpoint(), a.GetError(), a.GetClient(), a.GetOrganization(), a.GetIssuer()}) == want &&
				a.GetCount() == 1 && a.GetDescription() != "" && a.GetRegion() == "eu-west" && a.GetService() == "sessions" {
				return true
			}
		}
		return false
	})
}

// application makes one for a case: of the platform or, with one, of an organization.
func (w *world) applicationOf(t *testing.T, organization string, s *sessionsv1.ClientSettings) application {
	t.Helper()
	made, err := w.Clients.CreateClient(t.Context(), &sessionsv1.CreateClientRequest{Organization: organization, Settings: s, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	return application{made.GetClient().GetId(), made.GetSecret()}
}

func testBadInputIsOnRecord(t *testing.T, w *world) {
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	org := made.GetOrganization().GetId()
	there := *w
	there.issuer = strings.Replace(w.issuer, "localhost", "127.0.0.1", 1)
	const authorize, token = "GET /oauth2/authorize", "POST /oauth2/token"
	machine := elliptical(t, "1", "sig")
	signing := w.settings(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT)
	signing.Jwks = machine.keys(t)
	assert := func(t *testing.T, a application, change map[string]any) reply {
		now := time.Now().Unix()
		claims := map[string]any{"iss": a.id, "sub": a.id, "aud": w.issuer, "jti": canary + rand.Text(), "iat": now, "exp": now + 60}
		maps.Copy(claims, change)
		return w.post(t, application{}, "/oauth2/token", url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {canary}, "client_assertion": {machine.sign(t, claims, map[string]any{"typ": "JWT"})},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})
	}
	open := func(t *testing.T, target string) {
		v := w.visitor(t)
		if v.open(target); strings.Contains(v.back, "code=") {
			t.Errorf("called back at %q", v.back)
		}
	}
	for name, tc := range map[string]struct {
		settings *sessionsv1.ClientSettings // nil: as most have them
		send     func(t *testing.T, a application)
		want     refusal // but for client and organization
		// nobody: whose request it is was not found out before it was refused, or there is
		// no client; stranger: it says so itself.
		nobody, stranger bool
	}{
		"a parameter twice": {send: func(t *testing.T, a application) {
			q := w.request(a, "state", canary)
			q["scope"] = []string{"openid", canary}
			open(t, w.authorizeURL(q))
		}, want: refusal{authorize, "invalid_request", "", "", w.issuer}},
		"a parameter twice, posted": {send: func(t *testing.T, a application) {
			w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"authorization_code", canary}}).refused(t, http.StatusBadRequest, "invalid_request")
		}, want: refusal{token, "invalid_request", "", "", w.issuer}, stranger: true},
		"another content type": {send: func(t *testing.T, a application) {
			w.postWith(t, a, "/oauth2/token", url.Values{"code": {canary}}, http.Header{"Content-Type": {"application/json; " + canary}}).
				refused(t, http.StatusBadRequest, "invalid_request")
		}, want: refusal{token, "invalid_request", "", "", w.issuer}, stranger: true},
		"a fragment in the redirect URI": {send: func(t *testing.T, a application) {
			open(t, w.authorizeURL(w.request(a, "redirect_uri", w.callback()+"#"+canary)))
		}, want: refusal{authorize, "invalid_request", "", "", w.issuer}},
		"a javascript: URI": {send: func(t *testing.T, a application) {
			open(t, w.authorizeURL(w.request(a, "redirect_uri", "javascript:"+canary)))
		}, want: refusal{authorize, "invalid_request", "", "", w.issuer}},
		"a javascript: URI to be registered": {send: func(t *testing.T, a application) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.issuer+"/oauth2/register", strings.NewReader(`{"redirect_uris":["javascript:`+canary+`"]}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+w.token.Reveal())
			send(t, req).refused(t, http.StatusBadRequest, "invalid_redirect_uri")
		}, want: refusal{"POST /oauth2/register", "invalid_redirect_uri", "", "", w.issuer}, nobody: true},
		"a state of 1 MB": {send: func(t *testing.T, a application) {
			w.visitor(t).post("/oauth2/authorize", w.request(a, "state", strings.Repeat(canary, 1<<20/len(canary))), w.issuer)
		}, want: refusal{"POST /oauth2/authorize", "invalid_request", "", "", w.issuer}, nobody: true},
		"a state that is too long": {send: func(t *testing.T, a application) {
			open(t, w.authorizeURL(w.request(a, "state", strings.Repeat(canary, 200))))
		}, want: refusal{authorize, "invalid_request", "", "", w.issuer}},
		"a request_uri that there is not": {send: func(t *testing.T, a application) {
			open(t, w.authorizeURL(url.Values{"client_id": {a.id}, "request_uri": {"urn:ietf:params:oauth:request_uri:" + canary}}))
		}, want: refusal{authorize, "invalid_request_uri", "", "", w.issuer}},
		"a request_uri that has expired": {send: func(t *testing.T, a application) {
			pushed := w.post(t, a, "/oauth2/par", w.request(a, "state", canary)).str("request_uri")
			w.expireRequests(t)
			open(t, w.authorizeURL(url.Values{"client_id": {a.id}, "request_uri": {pushed}}))
		}, want: refusal{authorize, "invalid_request_uri", "", "", w.issuer}},
		"a clock that is an hour ahead": {settings: signing, send: func(t *testing.T, a application) {
			ahead := time.Now().Add(time.Hour).Unix()
			assert(t, a, map[string]any{"iat": ahead, "nbf": ahead}).refused(t, http.StatusUnauthorized, "invalid_client")
		}, want: refusal{token, "invalid_client", "", "", w.issuer}},
		"an assertion for another issuer": {settings: signing, send: func(t *testing.T, a application) {
			assert(t, a, map[string]any{"aud": there.issuer}).refused(t, http.StatusUnauthorized, "invalid_client")
		}, want: refusal{token, "invalid_client", "", "", w.issuer}},
		"a request that another issuer has": {send: func(t *testing.T, a application) {
			pushed := w.post(t, a, "/oauth2/par", w.request(a, "state", canary)).str("request_uri")
			open(t, there.authorizeURL(url.Values{"client_id": {a.id}, "request_uri": {pushed}}))
		}, want: refusal{authorize, "invalid_request_uri", "", "", there.issuer}},
		"a code at another issuer": {send: func(t *testing.T, a application) {
			there.redeem(t, a, canary).refused(t, http.StatusBadRequest, "invalid_grant")
		}, want: refusal{token, "invalid_grant", "", "", there.issuer}},
		"a host that is no issuer's": {send: func(t *testing.T, a application) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.authorizeURL(w.request(a)), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = canary + ".example"
			if r := send(t, req); r.status != http.StatusMisdirectedRequest {
				t.Errorf("answer %d", r.status)
			}
		}, want: refusal{authorize, "invalid_request", "", "", ""}, stranger: true},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.settings == nil {
				tc.settings = w.settings(basic)
			}
			a := w.applicationOf(t, org, tc.settings)
			before := w.events(t)
			tc.send(t, a)
			if after := w.events(t); after != before {
				t.Errorf("%d events before, %d after", before, after)
			}
			if !tc.nobody {
				tc.want.client = a.id
			}
			if !tc.nobody && !tc.stranger {
				tc.want.organization = org
			}
			w.onRecord(t, tc.want)
		})
	}
	for _, a := range w.activity(t, &auditv1.ListActivityRequest{}) {
		if text := prototext.Format(a); strings.Contains(text, canary) || strings.Contains(text, "the-nonce") || strings.Contains(text, "127.0.0.1:") && a.GetIssuer() != there.issuer {
			t.Errorf("a record quotes the request: %s", text)
		}
	}
}

// expireRequests has an hour pass for what was pushed.
func (w *world) expireRequests(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `UPDATE sessions.requests SET expires_at = expires_at - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
}

// counts adds up records.
func counts(records []*auditv1.Activity) (n uint64) {
	for _, a := range records {
		n += a.GetCount()
	}
	return n
}

// testFlood: 10,000 refusals of one client and 1,000 of clients that there are not leave
// few records, and another client's, from before and in between, are there.
func testFlood(t *testing.T, w *world) {
	began := time.Now()
	before, loud, between := w.app1(t, basic), w.app1(t, basic), w.app1(t, basic)
	wrong := func(client string) {
		w.post(t, application{client, canary}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).
			refused(t, http.StatusUnauthorized, "invalid_client")
	}
	wrong(before.id)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1250 {
				wrong(loud.id)
			}
			for range 125 {
				wrong(id.New(id.Client))
			}
		})
	}
	wrong(between.id)
	group.Wait()
	minutes := int(time.Since(began)/time.Minute) + 2
	w.node.Stop(t)    // what is counted is written at once
	w.node.Start(w.t) // which outlives this part

	all := w.activity(t, &auditv1.ListActivityRequest{Error: "invalid_client"})
	of := map[string][]*auditv1.Activity{}
	strangers := 0
	for _, a := range all {
		of[a.GetClient()] = append(of[a.GetClient()], a)
		if client := a.GetClient(); client != loud.id && client != before.id && client != between.id && a.GetEndpoint() == "POST /oauth2/token" {
			strangers++
		}
	}
	if n := counts(of[loud.id]); n != 10_000 || len(of[loud.id]) > 2*minutes {
		t.Errorf("10,000 refusals are %d records of %d, in %d minutes", len(of[loud.id]), n, minutes)
	}
	if counts(of[before.id]) != 1 || counts(of[between.id]) != 1 {
		t.Errorf("of the others there are %v and %v", of[before.id], of[between.id])
	}
	if nameless := counts(of[""]); nameless < 1000-uint64(100*minutes) || strangers > 110*minutes {
		t.Errorf("of clients that there are not %d records, %d refusals without a name, in %d minutes", strangers, nameless, minutes)
	}
}

// testActivityWithoutNATS: while NATS is away requests are refused as ever, and what is
// recorded comes when it is back.
func testActivityWithoutNATS(t *testing.T, w *world) {
	w.nats.Kill(t)
	eventually(t, "activity cannot be listed", func() bool {
		_, err := w.Activity.ListActivity(t.Context(), &auditv1.ListActivityRequest{})
		return meridian.Is(err, commonv1.Reason_BUS_UNAVAILABLE)
	})
	quiet := w.app1(t, basic)
	for range 20 {
		began := time.Now()
		w.post(t, application{quiet.id, canary}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).
			refused(t, http.StatusUnauthorized, "invalid_client")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a refusal took %v", took)
		}
	}
	w.nats.Restart(w.t)
	eventually(t, "what was refused meanwhile is on record", func() bool {
		answer, err := w.Activity.ListActivity(t.Context(), &auditv1.ListActivityRequest{Client: quiet.id})
		return err == nil && counts(answer.GetActivities()) >= 1
	})
	w.node.Stop(t)
	w.node.Start(w.t) // which outlives this part
	if n := counts(w.activity(t, &auditv1.ListActivityRequest{Client: quiet.id})); n != 20 {
		t.Errorf("%d of 20 refusals are on record", n)
	}
}

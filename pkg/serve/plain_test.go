package serve_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// plain mounts a handler of plain HTTP that does what the last part of the path
// says.
func plain(access *commonv1.Access) func(s *serve.Server) {
	return func(s *serve.Server) {
		s.Mount("/plain/{organization}/{what}", s.Plain(serve.Plain{
			Procedure: "/plain.v1/Ask", Audience: "plain", Access: access,
			Organization: func(r *http.Request) string { return r.PathValue("organization") },
			Answer: func(w http.ResponseWriter, r *http.Request) error {
				switch r.PathValue("what") {
				case "panic":
					panic("a secret")
				case "defect":
					return errors.New("a secret")
				case "fault":
					return fault.Field("what", "rule", "is wrong")
				case "hang":
					<-r.Context().Done()
					return r.Context().Err()
				}
				caller, _ := principal.From(r.Context())
				_, err := io.WriteString(w, "hello "+caller.ID)
				return err
			},
			Refuse: refuse,
		}))
	}
}

func refuse(w http.ResponseWriter, _ *http.Request, f *fault.Fault) {
	w.WriteHeader(http.StatusTeapot)
	_, _ = io.WriteString(w, f.Reason.String()+": "+f.Detail)
}

var readAccess = &commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_READ}

func (s *server) plain(t *testing.T, token, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/plain/"+path, strings.NewReader("12345"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := httpClient(t, token, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(content)
}

// What holds for calls holds for plain HTTP.
func TestPlainIsACall(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{Deadline: 200 * time.Millisecond}, prepare: plain(readAccess)})
	for name, tc := range map[string]struct {
		token, path string
		status      int
		body        string
	}{
		"its own organization":      {"acme-read", acme + "/hello", http.StatusOK, "hello tok_read"},
		"a platform token":          {"platform-admin", acme + "/hello", http.StatusOK, "hello tok_platform"},
		"nobody":                    {"", acme + "/hello", http.StatusTeapot, "TOKEN_MISSING: a bearer token is needed"},
		"an unknown token":          {"who", acme + "/hello", http.StatusTeapot, "TOKEN_REJECTED: the token is unknown, expired or revoked"},
		"another organization's":    {"other-admin", acme + "/hello", http.StatusTeapot, "NOT_FOUND: no such organization"},
		"a fault":                   {"acme-read", acme + "/fault", http.StatusTeapot, "INVALID_FIELD: what: is wrong"},
		"a defect":                  {"acme-read", acme + "/defect", http.StatusTeapot, "DEFECT: internal error"},
		"a panic":                   {"acme-read", acme + "/panic", http.StatusTeapot, "DEFECT: internal error"},
		"one that takes too long":   {"acme-read", acme + "/hang", http.StatusTeapot, "DEADLINE: the deadline passed"},
		"a path that nobody serves": {"acme-read", acme + "/hello/more", http.StatusNotFound, "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := s.plain(t, tc.token, tc.path); status != tc.status || body != tc.body {
				t.Errorf("%d %q, want %d %q", status, body, tc.status, tc.body)
			}
		})
	}
	for _, want := range []string{
		`"procedure":"/plain.v1/Ask","code":"ok"`, `"code":"not_found"`, `"code":"unauthenticated"`, `"code":"internal"`,
		`"principal":"tok_read","organization":"` + acme + `"`, `"request_bytes":5,"response_bytes":14`, `"trace_id"`,
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, s.log)
		}
	}
	if strings.Contains(s.log.String(), `"panic":"a secret"`) {
		t.Error("the log tells what a panic held")
	}
}

func TestPlainIsLimited(t *testing.T) {
	t.Parallel()
	s := start(t, setup{
		clock:  func() time.Time { return time.Unix(1_800_000_000, 0) },
		config: serve.Config{Limits: serve.Limits{Read: serve.Rate{PerSecond: 1, Burst: 2}}}, prepare: plain(readAccess),
	})
	for range 2 {
		if status, body := s.plain(t, "acme-read", acme+"/hello"); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	if status, body := s.plain(t, "acme-read", acme+"/hello"); status != http.StatusTeapot || body != "RATE_LIMITED: too many calls" {
		t.Errorf("the third call of two: %d %s", status, body)
	}
	// The budget is that of the organization, however it is called.
	if err := get(t.Context(), s.client(t, "acme-admin"), acme); err == nil {
		t.Error("a call of the same organization has a budget of its own")
	}
}

func TestPlainWithoutAccess(t *testing.T) {
	t.Parallel()
	s := start(t, setup{prepare: plain(nil)})
	if status, body := s.plain(t, "", acme+"/hello"); status != http.StatusOK || body != "hello " {
		t.Errorf("%d %s", status, body)
	}
}

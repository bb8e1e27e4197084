package isolation_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// authzen are valid requests of every endpoint of AuthZEN, by path.
var authzen = map[string]string{
	"/access/v1/evaluation":      `{"subject":{"type":"user","id":"anna"},"action":{"name":"viewer"},"resource":{"type":"document","id":"plan"}}`,
	"/access/v1/evaluations":     `{"subject":{"type":"user","id":"anna"},"action":{"name":"viewer"},"evaluations":[{"resource":{"type":"document","id":"plan"}}]}`,
	"/access/v1/search/subject":  `{"subject":{"type":"user"},"action":{"name":"viewer"},"resource":{"type":"document","id":"plan"}}`,
	"/access/v1/search/resource": `{"subject":{"type":"user","id":"anna"},"action":{"name":"viewer"},"resource":{"type":"document"}}`,
	"/access/v1/search/action":   `{"subject":{"type":"user","id":"anna"},"resource":{"type":"document","id":"plan"}}`,
}

// post sends a request of AuthZEN, and returns all of the answer that a caller
// can tell apart.
func (w *world) post(t *testing.T, organization, path, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/authzen/"+organization+path, strings.NewReader(authzen[path]))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s %s", res.StatusCode, res.Header.Get("Content-Type"), body)
}

// AuthZEN has the same walls as the calls: another's organization and an absent
// one are the same, and nobody without a token is answered.
func (w *world) testAuthZEN(t *testing.T) {
	for path := range authzen {
		t.Run(path, func(t *testing.T) {
			if got := w.post(t, w.foreign.organization, path, w.AdminToken); !strings.HasPrefix(got, "200 application/json") {
				t.Errorf("with a platform token: %s; the table's request must be valid", got)
			}
			if got := w.post(t, w.home.organization, path, ""); !strings.HasPrefix(got, "401 ") {
				t.Errorf("without a token: %s, want 401", got)
			}
			for level, token := range w.tokens {
				foreign, missing := w.post(t, w.foreign.organization, path, token), w.post(t, absent, path, token)
				if foreign != missing || foreign != "404 text/plain; charset=utf-8 NOT_FOUND: no such organization\n" {
					t.Errorf("%s: another's organization answers %q, an absent one %q; want the same 404", level, foreign, missing)
				}
				if got := w.post(t, w.home.organization, path, token); !strings.HasPrefix(got, "200 ") {
					t.Errorf("%s in its own organization: %s, want an answer", level, got)
				}
			}
		})
	}
}

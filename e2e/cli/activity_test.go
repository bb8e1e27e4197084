package cli_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
	"github.com/meridian-iam/meridian/pkg/id"
)

// refused sends the provider what it refuses, as a client that there is not.
func refused(t *testing.T, d *harness.Dev) (client string) {
	t.Helper()
	client = id.New(id.Client)
	// A deployment at a free port has no issuer, so that it looks at the URL only.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/oauth2/token?client_id="+client, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode < http.StatusBadRequest {
		t.Fatalf("the provider answers %s", res.Status)
	}
	return client
}

func testActivity(t *testing.T, d *harness.Dev) {
	first, second := refused(t, d), refused(t, d)
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"activity"}, args...)...) }
	harness.Eventually(t, "what is refused is listed", func() error {
		if found := lines(t, expect(t, run("--client", second, "--json"), 0)); len(found) != 1 {
			return fmt.Errorf("%d records", len(found))
		}
		return nil
	})
	record := one(t, expect(t, run("--client", first, "--json"), 0))
	code := fmt.Sprint(record["error"])
	if record["client"] != first || record["endpoint"] != "POST /oauth2/token" || record["count"] != "1" || code == "" {
		t.Errorf("the record is %v", record)
	}
	contains(t, expect(t, run("--since", "0", "--error", code), 0), "LAST", "TIMES", "WHY", first, second, code, "POST /oauth2/token")
	if newest := lines(t, expect(t, run("--limit", "1", "--json"), 0)); len(newest) != 1 || newest[0]["client"] != second {
		t.Errorf("the newest is %v", newest)
	}
	for _, none := range [][]string{{"--since", "1ns"}, {"--error", "none_such"}, {"-o", d.Organization}, {"--client", id.New(id.Client)}} {
		if found := lines(t, expect(t, run(append(none, "--json")...), 0)); len(found) != 0 {
			t.Errorf("%v lists %v", none, found)
		}
	}
	wrong(t, d, map[string][]string{
		"--since": {"activity", "--since", "-1h"}, "client": {"activity", "--client", "shop"}, "error": {"activity", "--error", "What?"},
	})
}

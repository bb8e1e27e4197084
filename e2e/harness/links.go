package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// Link is a way between two places of a deployment of several regions.
type Link struct {
	dev  *Dev
	name string
}

// Calls is the way that calls take from one region to another.
func (d *Dev) Calls(from, to string) Link { return Link{d, "calls:" + from + ":" + to + ":0"} }

// BusLink is the way that the NATS servers of one region take to another's.
func (d *Dev) BusLink(from, to string) Link { return Link{d, "nats:" + from + ":" + to + ":0"} }

// DatabaseLink is the way from a region to the database.
func (d *Dev) DatabaseLink(from string) Link { return Link{d, "database:" + from + ":database:0"} }

func directions() []string { return []string{"upstream", "downstream"} }

// Cut drops what the link carries, without telling anybody, until Mend.
func (l Link) Cut(t testing.TB) {
	t.Helper()
	for _, direction := range directions() {
		l.do(t, http.MethodPost, "/toxics", map[string]any{
			"name": "cut-" + direction, "type": "timeout", "stream": direction, "toxicity": 1, "attributes": map[string]any{"timeout": 0},
		})
	}
}

// Mend ends a cut.
func (l Link) Mend(t testing.TB) {
	t.Helper()
	for _, direction := range directions() {
		l.do(t, http.MethodDelete, "/toxics/cut-"+direction, nil)
	}
}

// Slow sets the delay, one way.
func (l Link) Slow(t testing.TB, delay time.Duration) {
	t.Helper()
	for _, direction := range directions() {
		l.do(t, http.MethodPost, "/toxics/delay-"+direction, map[string]any{"attributes": map[string]any{"latency": delay.Milliseconds(), "jitter": 0}})
	}
}

// Delay is the delay, one way.
func (l Link) Delay(t testing.TB) time.Duration {
	t.Helper()
	var toxic struct {
		Attributes struct {
			Latency int64 `json:"latency"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal(l.do(t, http.MethodGet, "/toxics/delay-upstream", nil), &toxic); err != nil {
		t.Fatal(err)
	}
	return time.Duration(toxic.Attributes.Latency) * time.Millisecond
}

func (l Link) do(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, l.dev.Links+"/proxies/"+l.name+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		t.Fatal(fmt.Errorf("%s %s%s: %s: %s", method, l.name, path, res.Status, answer))
	}
	return answer
}

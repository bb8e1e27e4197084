package dial_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

// The choice of regions is tested in package failover; here, that its errors are
// faults, and that it is seen in metrics.
func TestRegions(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	next := &target{answer: func(context.Context, int64) error {
		if away.Load() {
			return unavailable()
		}
		return nil
	}}
	mux := http.NewServeMux()
	mux.Handle(identityv1connect.NewOrganizationServiceHandler(next))
	server := httptest.NewServer(mux)
	defer server.Close()
	near := httptest.NewServer(nil)
	near.Close() // nobody listens
	observed := telemetry.Discard()
	c := dial.New(dial.Options{BaseURLs: []string{near.URL, server.URL}, Target: "identity", Telemetry: observed})
	orgs := identityv1connect.NewOrganizationServiceClient(c.HTTP, c.BaseURL, c.Options...)
	for range 5 {
		if f := get(t, orgs); f != nil {
			t.Fatal(f)
		}
	}
	want := `
# HELP meridian_dial_paused 1 while calls to a region are refused or one is tried.
# TYPE meridian_dial_paused gauge
meridian_dial_paused{kind="reads",target="identity",url="` + near.URL + `"} 1
# HELP meridian_dial_repetitions_total Calls that were sent again, or to another region too.
# TYPE meridian_dial_repetitions_total counter
meridian_dial_repetitions_total{target="identity"} 5
`
	if err := testutil.GatherAndCompare(observed.Registry, strings.NewReader(want),
		"meridian_dial_paused", "meridian_dial_repetitions_total"); err != nil {
		t.Error(err)
	}
	away.Store(true)
	if f := create(t, orgs); f == nil || f.Kind != fault.Unavailable || f.Reason != commonv1.Reason_SERVICE_UNAVAILABLE || f.Meta["tried"] != "2" {
		t.Errorf("%v", f)
	}
}

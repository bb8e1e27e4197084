package rpc_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/audit/internal/rpc"
)

// fixture is the service on a NATS server of its own.
type fixture struct {
	rpc.Activity

	n int // records
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	b, err := bus.Open(t.Context(), bus.Config{Region: "eu-west", StoreDir: t.TempDir()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &fixture{Activity: rpc.Activity{Bus: b, Logger: quiet}}
}

func (f *fixture) ensure(t *testing.T) {
	t.Helper()
	if err := f.Bus.EnsureActivity(t.Context(), bus.ActivityLimits{MaxAge: time.Hour, MaxBytes: 1 << 24}); err != nil {
		t.Fatal(err)
	}
}

// write stores n records, whose descriptions are 1, 2, 3, …, and which are otherwise as
// change says.
func (f *fixture) write(t *testing.T, n int, change func(i int, a *auditv1.Activity)) {
	t.Helper()
	for range n {
		f.n++
		a := &auditv1.Activity{Id: id.New(id.Activity), Description: fmt.Sprint(f.n), Count: 1, LastTime: timestamppb.Now()}
		if change != nil {
			change(f.n, a)
		}
		data, err := proto.Marshal(a)
		if err == nil {
			err = f.Bus.PublishActivity(t.Context(), "sessions", "RequestRefused", a.GetId(), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// all lists page after page. pages says how many there were, and cut how many of them
// were cut.
func (f *fixture) all(t *testing.T, req *auditv1.ListActivityRequest) (found []string, pages, cut int) {
	t.Helper()
	for {
		answer, err := f.ListActivity(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answer.GetActivities() {
			found = append(found, a.GetDescription())
		}
		pages++
		if answer.GetCut() {
			cut++
		}
		if req.Cursor = answer.GetNextCursor(); req.GetCursor() == "" {
			return found, pages, cut
		}
	}
}

// down are numbers from one down to another.
func down(from, to, step int) (out []string) {
	for n := from; n >= to; n -= step {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

func TestListActivity(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if found, _, _ := f.all(t, &auditv1.ListActivityRequest{}); len(found) != 0 {
		t.Errorf("before there is a stream: %v", found)
	}
	f.ensure(t)
	rare, org := id.New(id.Client), id.New(id.Organization)
	f.write(t, 3000, func(i int, a *auditv1.Activity) {
		if a.Error = "invalid_request"; i%2 == 0 {
			a.Error = "invalid_client"
		}
		if i == 7 || i == 2999 {
			a.Client, a.Organization = rare, org
		}
	})
	for name, tc := range map[string]struct {
		req        *auditv1.ListActivityRequest
		want       []string
		pages, cut int
	}{
		"all, newest first":       {&auditv1.ListActivityRequest{}, down(3000, 1, 1), 60, 0},
		"pages of 200":            {&auditv1.ListActivityRequest{PageSize: 200}, down(3000, 1, 1), 15, 0},
		"an error":                {&auditv1.ListActivityRequest{PageSize: 200, Error: "invalid_client"}, down(3000, 2, 2), 8, 0},
		"a client":                {&auditv1.ListActivityRequest{Client: rare}, []string{"2999", "7"}, 2, 1},
		"an organization":         {&auditv1.ListActivityRequest{Organization: org}, []string{"2999", "7"}, 2, 1},
		"a client and its error":  {&auditv1.ListActivityRequest{Client: rare, Error: "invalid_client"}, nil, 2, 1},
		"a client that has none":  {&auditv1.ListActivityRequest{Client: id.New(id.Client)}, nil, 2, 1},
		"nothing is from then on": {&auditv1.ListActivityRequest{Since: timestamppb.New(time.Now().Add(time.Hour))}, nil, 1, 0},
		"all are from then on":    {&auditv1.ListActivityRequest{PageSize: 200, Since: timestamppb.New(time.Now().Add(-time.Hour))}, down(3000, 1, 1), 15, 0},
	} {
		found, pages, cut := f.all(t, tc.req)
		if fmt.Sprint(found) != fmt.Sprint(tc.want) || pages != tc.pages || cut != tc.cut {
			t.Errorf("%s: %d found on %d pages, %d cut; want %d on %d, %d cut: %.200v", name, len(found), pages, cut, len(tc.want), tc.pages, tc.cut, found)
		}
	}
}

// What comes meanwhile does not move the pages.
func TestListActivityWhileOthersWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ensure(t)
	f.write(t, 5, nil)
	answer, err := f.ListActivity(t.Context(), &auditv1.ListActivityRequest{PageSize: 2})
	if err != nil || len(answer.GetActivities()) != 2 {
		t.Fatalf("%v, %v", answer, err)
	}
	f.write(t, 300, nil)
	found, _, _ := f.all(t, &auditv1.ListActivityRequest{PageSize: 2, Cursor: answer.GetNextCursor()})
	if fmt.Sprint(found) != "[3 2 1]" {
		t.Errorf("the next pages have %v", found)
	}
}

// What waited for the bus is of the time at which it was observed.
func TestListActivitySince(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ensure(t)
	now := time.Now()
	f.write(t, 3, func(i int, a *auditv1.Activity) {
		a.Time, a.LastTime = timestamppb.New(now.Add(-2*time.Hour)), timestamppb.New(now.Add(time.Duration(i-3)*time.Hour))
	})
	found, _, _ := f.all(t, &auditv1.ListActivityRequest{Since: timestamppb.New(now.Add(-90 * time.Minute))})
	if fmt.Sprint(found) != "[3 2]" {
		t.Errorf("found %v", found)
	}
}

func TestListActivityRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ensure(t)
	f.write(t, 3, nil)
	answer, err := f.ListActivity(t.Context(), &auditv1.ListActivityRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*auditv1.ListActivityRequest{
		"no cursor":        {Cursor: "x"},
		"another's cursor": {Cursor: answer.GetNextCursor(), Error: "invalid_client"},
	} {
		if _, err := f.ListActivity(t.Context(), req); !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What others wrote into the stream hides nothing.
func TestListActivityPassesOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ensure(t)
	f.write(t, 1, nil)
	if err := f.Bus.PublishActivity(t.Context(), "sessions", "RequestRefused", "x", []byte("\xff\xff")); err != nil {
		t.Fatal(err)
	}
	f.write(t, 1, nil)
	if found, _, _ := f.all(t, &auditv1.ListActivityRequest{}); fmt.Sprint(found) != "[2 1]" {
		t.Errorf("found %v", found)
	}
}

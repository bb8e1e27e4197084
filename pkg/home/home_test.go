package home_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// The home region executes the write as the caller's: same rights, same scope of
// keys, same actor; in a share of the time.
func TestExecutedAtHomeAsTheCaller(t *testing.T) {
	t.Parallel()
	first, second := pair(t, west, west)
	revision, err := first.write(t, "writer", "key-1")
	if err != nil || revision != "eu-west key-1" {
		t.Fatalf("%q, %v; want it executed in %s under its key", revision, err, west)
	}
	want := writer()
	want.ForwardedFrom = east
	if diff := cmp.Diff([]principal.Principal{want}, second.calls(), cmpopts.IgnoreFields(principal.Principal{}, "Expires")); diff != "" {
		t.Error(diff)
	}
	own := writer()
	if got := second.calls()[0]; got.Scope() != own.Scope() || got.Actor().String() != own.Actor().String() {
		t.Errorf("scope %q and actor %v, want %q and %v", got.Scope(), got.Actor(), own.Scope(), own.Actor())
	}
	if len(first.calls()) != 0 || first.forwarded(t, "answered") != 1 || second.forwarded(t, "received") != 1 {
		t.Errorf("executed in %s as well: %v", east, first.calls())
	}
	if second.left > time.Second {
		t.Errorf("home has %v of 3 s", second.left)
	}
	// What is at home here stays here.
	if revision, err := second.write(t, "writer", "key-2"); err != nil || revision != "eu-west key-2" || len(first.calls()) != 0 {
		t.Errorf("a write at home: %q, %v", revision, err)
	}
}

// Limits count a caller where it calls: 50 calls are its burst in each region, and
// those that were sent on take nothing from it.
func TestCountedOnce(t *testing.T) {
	t.Parallel()
	first, second := pair(t, west, west)
	for i := range 50 {
		for _, r := range []*region{first, second} {
			if _, err := r.write(t, "writer", fmt.Sprint(r.name, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := first.write(t, "writer", "one more"); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one more: %v", err)
	}
}

func TestErrorsOfHomeAreUnchanged(t *testing.T) {
	t.Parallel()
	first, second := pair(t, west, west)
	want := fault.New(fault.Precondition, commonv1.Reason_PRECONDITION_FAILED, "it holds").With("field", "preconditions[0]").Retry(2 * time.Second)
	second.answers(func(context.Context) error { return want })
	_, err := first.write(t, "writer", "key")
	got := faultconnect.FromConnect(err)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(fault.Fault{})); diff != "" || !connect.IsWireError(err) {
		t.Error(diff)
	}
	if len(first.calls()) != 0 || first.forwarded(t, "answered") != 1 {
		t.Error("an answer of home is an answer")
	}
}

// Each region believes that the other one is home: one hop, and no more.
func TestNotForwardedTwice(t *testing.T) {
	t.Parallel()
	first, second := pair(t, west, east)
	for r, other := range map[*region]*region{first: second, second: first} {
		before := len(r.calls())
		revision, err := r.write(t, "writer", "key")
		if err != nil || revision != other.name+" key" {
			t.Errorf("through %s: %q, %v; want it executed in %s", r.name, revision, err, other.name)
		}
		if len(r.calls()) != before {
			t.Errorf("it came back to %s", r.name)
		}
	}
}

// Who may not write is refused where it calls, and nobody else is asked.
func TestAccess(t *testing.T) {
	t.Parallel()
	first, second := pair(t, west, west)
	for token, want := range map[string]commonv1.Reason{
		"reader": commonv1.Reason_ACCESS_DENIED, "stranger": commonv1.Reason_NOT_FOUND, "nobody": commonv1.Reason_TOKEN_REJECTED,
	} {
		_, err := first.write(t, token, "key")
		if got := faultconnect.FromConnect(err); got == nil || got.Reason != want {
			t.Errorf("%s: %v, want %v", token, err, want)
		}
	}
	if first.forwarded(t, "answered") != 0 || len(second.calls()) != 0 {
		t.Error("a refused call was sent on")
	}
}

// Home does not trust the first region's decision: it makes its own.
func TestAccessAtHome(t *testing.T) {
	t.Parallel()
	key := serviceKey(t)
	r := &region{name: west, address: freeAddress(t)}
	start(t, r, key, at(west), east, "http://127.0.0.1:1")
	for name, c := range map[string]struct {
		change func(p *principal.Principal)
		want   commonv1.Reason
	}{
		"level":        {func(p *principal.Principal) { p.Level = commonv1.Level_LEVEL_READ }, commonv1.Reason_ACCESS_DENIED},
		"organization": {func(p *principal.Principal) { p.Organization = "org_00000000000000000000000002" }, commonv1.Reason_NOT_FOUND},
	} {
		caller := writer()
		c.change(&caller)
		token, err := key.Forward("authz", east, authzv1connect.RelationshipServiceName, caller)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.write(t, token.Reveal(), "key"); faultconnect.FromConnect(err).Reason != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if len(r.calls()) != 0 {
		t.Error("executed")
	}
}

// accepting accepts connections. One that is left open says nothing, as over a
// link that is cut.
func accepting(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open []net.Conn
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			open = append(open, conn)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		loop.Wait()
		for _, conn := range open {
			_ = conn.Close()
		}
	})
	return l.Addr().String()
}

// When home does not answer the write is executed here, with what is left of the
// time, and soon nobody waits for home any more.
func TestHomeIsAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		address func(t *testing.T) string
		outcome string
	}{
		"refuses":   {freeAddress, "unreachable"},
		"is silent": {func(t *testing.T) string { return accepting(t, func(net.Conn) {}) }, "unanswered"},
		"resets": {func(t *testing.T) string {
			return accepting(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			})
		}, "unanswered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &region{name: east, address: freeAddress(t)}
			start(t, r, serviceKey(t), at(west), west, "http://"+c.address(t))
			for i := range 5 {
				begun := time.Now()
				revision, err := r.write(t, "writer", fmt.Sprint(i))
				if err != nil || revision != fmt.Sprintf("us-east %d", i) {
					t.Errorf("%q, %v; want it executed here", revision, err)
				}
				t.Logf("write %d took %v", i, time.Since(begun).Round(time.Millisecond))
				if r.left < time.Second {
					t.Errorf("a commit from here has %v of 3 s", r.left)
				}
			}
			// Two waited; the others found the ways paused.
			if c.outcome == "unanswered" && (r.forwarded(t, "unanswered") != 2 || r.forwarded(t, "unreachable") != 3) ||
				c.outcome == "unreachable" && r.forwarded(t, "unreachable") != 5 {
				t.Errorf("%d unanswered, %d unreachable", r.forwarded(t, "unanswered"), r.forwarded(t, "unreachable"))
			}
		})
	}
}

// Regions whose keys differ do not let each other's calls in; callers do not
// notice.
func TestHomeHasAnotherKey(t *testing.T) {
	t.Parallel()
	second := &region{name: west, address: freeAddress(t)}
	start(t, second, serviceKey(t), at(west), east, "http://127.0.0.1:1")
	first := &region{name: east, address: freeAddress(t)}
	start(t, first, serviceKey(t), at(west), west, "http://"+second.address)
	if revision, err := first.write(t, "writer", "key"); err != nil || revision != "us-east key" || len(second.calls()) != 0 {
		t.Errorf("%q, %v", revision, err)
	}
}

func said(kind fault.Kind, reason commonv1.Reason) error {
	return fault.New(kind, reason, "said by home")
}

// What home says decides whether the write is executed here, and what the caller
// is told when that fails, too.
func TestSend(t *testing.T) {
	t.Parallel()
	unknown := said(fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN)
	unavailable := fault.New(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE, "no database here")
	exists := fault.New(fault.Exists, commonv1.Reason_RELATIONSHIP_EXISTS, "decided here")
	for name, c := range map[string]struct {
		there, here error
		keyless     bool
		executed    bool
		want        commonv1.Reason
	}{
		"done":                      {nil, errNone, false, false, 0},
		"refused by a rule":         {said(fault.Exists, commonv1.Reason_RELATIONSHIP_EXISTS), errNone, false, false, commonv1.Reason_RELATIONSHIP_EXISTS},
		"not found":                 {said(fault.NotFound, commonv1.Reason_NOT_FOUND), errNone, false, false, commonv1.Reason_NOT_FOUND},
		"denied":                    {said(fault.Denied, commonv1.Reason_ACCESS_DENIED), errNone, false, false, commonv1.Reason_ACCESS_DENIED},
		"a conflict":                {said(fault.Conflict, commonv1.Reason_CONFLICT), errNone, false, false, commonv1.Reason_CONFLICT},
		"a defect":                  {said(fault.Internal, commonv1.Reason_DEFECT), errNone, false, false, commonv1.Reason_DEFECT},
		"too much":                  {said(fault.Unavailable, commonv1.Reason_RATE_LIMITED), errNone, false, false, commonv1.Reason_RATE_LIMITED},
		"stopping":                  {said(fault.Unavailable, commonv1.Reason_STOPPING), nil, false, true, 0},
		"stopping, without a key":   {said(fault.Unavailable, commonv1.Reason_STOPPING), nil, true, true, 0},
		"without a database":        {said(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE), nil, false, true, 0},
		"out of time":               {said(fault.Deadline, commonv1.Reason_DEADLINE), nil, false, true, 0},
		"does not know the token":   {said(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED), nil, false, true, 0},
		"of an older version":       {said(fault.Unimplemented, commonv1.Reason_PROCEDURE_UNKNOWN), nil, false, true, 0},
		"does not know":             {unknown, nil, false, true, 0},
		"thinks the caller is gone": {said(fault.Cancelled, commonv1.Reason_CANCELLED), nil, false, true, 0},
		"does not know, no key":     {unknown, errNone, true, false, commonv1.Reason_OUTCOME_UNKNOWN},
		"neither of the two":        {unknown, unavailable, false, true, commonv1.Reason_OUTCOME_UNKNOWN},
		"neither, here out of time": {unknown, fmt.Errorf("commit: %w", context.DeadlineExceeded), false, true, commonv1.Reason_OUTCOME_UNKNOWN},
		"a rule here":               {unknown, exists, false, true, commonv1.Reason_RELATIONSHIP_EXISTS},
		"nothing was done in both":  {said(fault.Unavailable, commonv1.Reason_STOPPING), unavailable, false, true, commonv1.Reason_DATABASE_UNAVAILABLE},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := "key"
			if c.keyless {
				key = ""
			}
			revision, executed, err := sent(t.Context(), t, key, c.there, c.here)
			if executed != c.executed {
				t.Errorf("executed here: %t", executed)
			}
			if (c.want == 0) != (err == nil) || err != nil && !fault.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if want := map[bool]string{true: "here", false: "there"}[c.executed]; err == nil && revision != want {
				t.Errorf("the answer is of %q, want %q", revision, want)
			}
		})
	}
}

// When the caller's time is over after the request has left, only home knows what
// became of it.
func TestNoTimeLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, executed, err := sent(ctx, t, "key", said(fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN), nil)
	if executed || !fault.Is(err, commonv1.Reason_OUTCOME_UNKNOWN) {
		t.Errorf("executed %t, %v", executed, err)
	}
}

// One region, or none that is named, is no router at all.
func TestOneRegion(t *testing.T) {
	t.Parallel()
	ways := home.NewRouter(home.Options{Region: east, URLs: map[string]string{east: "http://127.0.0.1:1"}})
	peers := home.Clients(ways, authzv1connect.NewRelationshipServiceClient)
	if ways != nil || peers != nil || peers.Knows(east) {
		t.Errorf("router %v, peers %v", ways, peers)
	}
	here := func(context.Context, *authzv1.WriteRelationshipsRequest) (*authzv1.WriteRelationshipsResponse, error) {
		return nil, errNone
	}
	for name, send := range map[string]func() error{
		"Send": func() error {
			_, err := home.Send(t.Context(), peers, acme, request("key"), authzv1connect.RelationshipServiceClient.WriteRelationships, here)
			return err
		},
		"SendTo": func() error {
			_, err := home.SendTo(t.Context(), peers, west, request("key"), authzv1connect.RelationshipServiceClient.WriteRelationships, here)
			return err
		},
	} {
		if err := send(); !errors.Is(err, errNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counted is a lookup that is counted, and fails on demand.
type counted struct {
	asked    []string
	region   string
	sequence uint64
	err      error
}

func (c *counted) lookup(_ context.Context, log string) (string, uint64, error) {
	c.asked = append(c.asked, log)
	return c.region, c.sequence, c.err
}

// reaches says in which region a write of acme is executed.
func reaches(t *testing.T, logs *home.Logs) string {
	t.Helper()
	ways := home.NewRouter(home.Options{
		Region: east, Service: "authz", Key: serviceKey(t), Logs: logs,
		URLs: map[string]string{west: "http://" + west, "ap-south": "http://ap-south"},
	})
	peers := home.Clients(ways, func(_ connect.HTTPClient, url string, _ ...connect.ClientOption) string { return url[len("http://"):] })
	answer, err := home.Send(principal.With(t.Context(), writer()), peers, acme, request("key"),
		func(region string, _ context.Context, _ *authzv1.WriteRelationshipsRequest) (*string, error) {
			return &region, nil
		},
		func(context.Context, *authzv1.WriteRelationshipsRequest) (*string, error) {
			here := "here"
			return &here, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return *answer
}

func TestLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := &counted{region: west, sequence: 7}
		logs := home.NewLogs(rows.lookup)
		step := func(name, want string, asked int) {
			t.Helper()
			if got := reaches(t, logs); got != want || len(rows.asked) != asked {
				t.Errorf("%s: executed in %s after %d look-ups, want %s after %d", name, got, len(rows.asked), want, asked)
			}
		}
		step("the row of the log says it", west, 1)
		step("once", west, 1)
		logs.Learn(acme, "ap-south", 8)
		step("an event says that it moved", "ap-south", 1)
		logs.Learn(acme, west, 6)
		step("an event that comes late says nothing new", "ap-south", 1)
		logs.Learn(acme, east, 9)
		step("it moved here", "here", 1)
		time.Sleep(6 * time.Minute)
		rows.err = errNone
		step("after a while the row is asked, and that fails", "here", 2)
		*rows = counted{region: "ap-south", sequence: 11, asked: rows.asked}
		step("the row says what no event said", "ap-south", 3)
		step("once", "ap-south", 3)
		if slices.ContainsFunc(rows.asked, func(log string) bool { return log != acme }) {
			t.Errorf("asked for %v", rows.asked)
		}
	})
	rows := &counted{err: errNone}
	if got := reaches(t, home.NewLogs(rows.lookup)); got != "here" {
		t.Errorf("nobody knows: executed in %s", got)
	}
}

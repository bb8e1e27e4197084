package serve_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// Each case breaks two layers at once: the outer one answers.
func TestOrderOfInterceptors(t *testing.T) {
	t.Parallel()
	frozen := time.Now()
	s := start(t, setup{
		clock:  func() time.Time { return frozen },
		config: serve.Config{Limits: serve.Limits{Manage: serve.Rate{PerSecond: 0.001, Burst: 2}}},
	})
	create := func(token, slug string) error {
		_, err := s.client(t, token).CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: slug, Name: "n", IdempotencyKey: "k"})
		return err
	}
	for _, step := range []struct {
		name, token, slug string
		want              commonv1.Reason
	}{
		{"unknown caller before anything else", "stranger", "Not A Slug", commonv1.Reason_TOKEN_REJECTED},
		{"access before the rate: the denied spend nothing", "acme-admin", "good", commonv1.Reason_ACCESS_DENIED},
		{"access before the rules", "acme-admin", "Not A Slug", commonv1.Reason_ACCESS_DENIED},
		{"an allowed call", "platform-admin", "good", commonv1.Reason_REASON_UNSPECIFIED},
		{"rate before the rules: a broken request is spent for", "platform-admin", "Not A Slug", commonv1.Reason_INVALID_FIELD},
		{"rate before the rules: it is said first", "platform-admin", "Not A Slug", commonv1.Reason_RATE_LIMITED},
	} {
		err := create(step.token, step.slug)
		if step.want == commonv1.Reason_REASON_UNSPECIFIED {
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			continue
		}
		if f := faultconnect.FromConnect(err); f == nil || f.Reason != step.want {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
	if !waitFor(t, func() bool { return strings.Count(s.log.String(), `"msg":"call"`) == 6 }) {
		t.Errorf("want one line for each of 6 calls:\n%s", s.log)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(s.log.String()), "\n") {
		if !strings.Contains(line, `"msg":"call"`) {
			continue
		}
		refusedAtGate := strings.Contains(line, "TOKEN_REJECTED")
		if strings.Contains(line, `"trace_id"`) == refusedAtGate {
			t.Errorf("the trace is outside the access log, the gate outside both: %s", line)
		}
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, setup{handler: organizations{get: func(context.Context, string) error { panic("canary-in-a-panic") }}})
	err := get(t.Context(), s.client(t, "acme-read"), acme)
	f := faultconnect.FromConnect(err)
	if f == nil || f.Kind != fault.Internal || f.Detail != "internal error" {
		t.Fatalf("%v", err)
	}
	trace := f.Meta["trace"]
	if !waitFor(t, func() bool { return strings.Contains(s.log.String(), `"code":"internal","reason":"DEFECT"`) }) {
		t.Errorf("no access line:\n%s", s.log)
	}
	if trace == "" || strings.Count(s.log.String(), trace) != 2 {
		t.Errorf("trace %q is not in the line of the panic and the line of the call:\n%s", trace, s.log)
	}
	if strings.Contains(s.log.String(), "canary") {
		t.Error("the panic's value is in the log")
	}
	if err := get(t.Context(), s.client(t, "acme-read"), other); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("after a panic: %v", err)
	}
}

func TestDefectIsLoggedOnceAndNotSent(t *testing.T) {
	t.Parallel()
	s := start(t, setup{handler: organizations{get: func(context.Context, string) error { return errors.New("what went wrong inside") }}})
	err := get(t.Context(), s.client(t, "acme-read"), acme)
	if connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), "inside") {
		t.Errorf("sent: %v", err)
	}
	if !waitFor(t, func() bool { return strings.Contains(s.log.String(), `"msg":"call"`) }) || strings.Count(s.log.String(), "what went wrong inside") != 1 {
		t.Errorf("want the cause once:\n%s", s.log)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	s := start(t, setup{
		config: serve.Config{Deadline: 50 * time.Millisecond, MaxDeadline: 10 * time.Second},
		handler: organizations{get: func(ctx context.Context, _ string) error {
			end, _ := ctx.Deadline()
			left <- time.Until(end)
			if len(left) == 1 && time.Until(end) > time.Second {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}},
	})
	c := s.client(t, "acme-read")
	if f := faultconnect.FromConnect(get(t.Context(), c, acme)); f == nil || f.Reason != commonv1.Reason_DEADLINE {
		t.Errorf("no deadline of its own: %v", f)
	}
	if got := <-left; got > 50*time.Millisecond {
		t.Errorf("default deadline %v", got)
	}
	patient, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := get(patient, c, acme); err != nil {
		t.Error(err)
	}
	if got := <-left; got > 10*time.Second || got < time.Second {
		t.Errorf("deadline %v, want the cap of 10 s", got)
	}
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t testing.TB, condition func() bool) bool {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(5 * time.Second)
	for {
		if condition() {
			return true
		}
		select {
		case <-ticker.C:
		case <-end:
			return condition()
		}
	}
}

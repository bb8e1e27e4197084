package session_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

var (
	ses, usr = id.New(id.Session), id.New(id.User)
	start    = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	lives    = session.Lives{Idle: time.Hour, Absolute: 24 * time.Hour}
)

func started(t *testing.T) session.State {
	t.Helper()
	events, err := session.Start{ID: ses, Proof: session.Proof{User: usr, ACR: session.AAL1, AMR: []string{"pwd"}, At: start}, Lives: lives}.Decide()
	if err != nil {
		t.Fatal(err)
	}
	var s session.State
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func TestLive(t *testing.T) {
	for name, tc := range map[string]struct {
		seen, at time.Duration
		want     bool
	}{
		"at once":                       {0, 0, true},
		"used often enough":             {10 * time.Hour, 10*time.Hour + 59*time.Minute, true},
		"idle":                          {10 * time.Hour, 11 * time.Hour, false},
		"too old, however often used":   {24*time.Hour - time.Minute, 24 * time.Hour, false},
		"as old as it may be, and used": {24*time.Hour - time.Minute, 24*time.Hour - time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t)
			s.LastSeenAt = start.Add(tc.seen)
			if got := s.Live(lives, start.Add(tc.at)); got != tc.want {
				t.Errorf("Live = %v, want %v", got, tc.want)
			}
		})
	}
	if (session.State{}).Live(lives, time.Time{}) {
		t.Error("a session that does not exist is live")
	}
}

func TestStrengthen(t *testing.T) {
	s := started(t)
	for _, proof := range []session.Proof{
		{User: usr, ACR: session.AAL2, AMR: []string{"pwd", "otp", "mfa"}, At: start.Add(time.Minute)},
		{User: usr, ACR: session.AAL1, AMR: []string{"pwd"}, At: start.Add(time.Hour)},
	} {
		events, err := session.Strengthen{Proof: proof}.Decide(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			s.Apply(e)
		}
		want := started(t)
		want.ACR, want.AMR, want.AuthenticatedAt = proof.ACR, proof.AMR, proof.At
		if diff := cmp.Diff(want, s); diff != "" {
			t.Error("a password alone renews a second factor, or the session gets longer:\n" + diff)
		}
	}
	_, err := session.Strengthen{Proof: session.Proof{User: id.New(id.User)}}.Decide(s)
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("another user strengthens it: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	s := started(t)
	events := session.Revoke{Reason: eventv1.Revocation_REVOCATION_LOGOUT}.Decide(s)
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	s.Apply(events[0])
	if s.ID != "" || s.Live(lives, start) {
		t.Error("it goes on")
	}
	if again := (session.Revoke{}).Decide(s); again != nil {
		t.Errorf("revoked twice: %v", again)
	}
	if _, err := (session.Strengthen{Proof: session.Proof{User: usr}}).Decide(s); err == nil {
		t.Error("a session that has ended is strengthened")
	}
}

package client_test

import (
	"testing"
	"time"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

func TestDeleteUnused(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		id      string
		unused  bool
		usedAt  time.Time
		deleted bool
	}{
		"used long ago":                      {"cli_1", true, at.Add(-31 * day), true},
		"used 30 days ago, or the day after": {"cli_1", true, at.Add(-31*day + 1), false},
		"used today":                         {"cli_1", true, at, false},
		"it stays":                           {"cli_1", false, at.Add(-31 * day), false},
		"it is not known when":               {"cli_1", true, time.Time{}, false},
		"deleted":                            {"", true, at.Add(-31 * day), false},
	} {
		s := client.State{ID: tc.id, Settings: &eventv1.ClientSettings{DeleteUnused: tc.unused}}
		events, err := client.DeleteUnused{UsedAt: tc.usedAt, At: at}.Decide(s)
		if err != nil || (len(events) == 1) != tc.deleted {
			t.Errorf("%s: %v, %v", name, events, err)
		}
	}
	for last, want := range map[time.Time]bool{{}: false, at: false, at.Add(-day + 1): false, at.Add(-day): true} {
		if client.Used(last, at) != want {
			t.Errorf("used at %v: to be written: %t", last, !want)
		}
	}
}

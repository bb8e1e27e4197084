package device_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/device"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func TestPoll(t *testing.T) {
	waiting := device.State{Status: device.Waiting, Client: "cli_1", Interval: device.Interval, PolledAt: now, ExpiresAt: now.Add(device.Life)}
	with := func(change func(*device.State)) device.State {
		s := waiting
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		state    device.State
		client   string
		after    time.Duration
		told     string
		interval time.Duration
	}{
		"it waits":                       {waiting, "cli_1", 5 * time.Second, device.Pending, 5 * time.Second},
		"too soon":                       {waiting, "cli_1", 4 * time.Second, device.SlowDown, 10 * time.Second},
		"too soon for long":              {with(func(s *device.State) { s.Interval = time.Minute }), "cli_1", time.Second, device.SlowDown, time.Minute},
		"allowed":                        {with(func(s *device.State) { s.Status = device.Allowed }), "cli_1", time.Second, "", 5 * time.Second},
		"denied":                         {with(func(s *device.State) { s.Status = device.Denied }), "cli_1", 5 * time.Second, device.Refused, 5 * time.Second},
		"expired":                        {waiting, "cli_1", device.Life, device.Expired, 5 * time.Second},
		"allowed, and expired":           {with(func(s *device.State) { s.Status = device.Allowed }), "cli_1", device.Life, device.Expired, 5 * time.Second},
		"unknown":                        {device.State{}, "cli_1", 5 * time.Second, device.Unknown, 0},
		"O17, another client's":          {waiting, "cli_2", 5 * time.Second, device.Unknown, 5 * time.Second},
		"another client's that is given": {with(func(s *device.State) { s.Status = device.Allowed }), "cli_2", 5 * time.Second, device.Unknown, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			after, told := device.Poll{Client: tc.client, At: now.Add(tc.after)}.Decide(tc.state)
			if told != tc.told || after.Interval != tc.interval {
				t.Errorf("told %q, interval %v; want %q, %v", told, after.Interval, tc.told, tc.interval)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	for typed, want := range map[string]string{
		"BCDF-GHJK": "BCDFGHJK", "bcdf ghjk": "BCDFGHJK", "BCDFGHJK": "BCDFGHJK", "b-c-d-f-g-h-j-k": "BCDFGHJK",
		"": "", "BCDF": "", "BCDFGHJA": "", "BCDFGHJKL": "", "BCDFGHJ1": "", "ЖCDFGHJK": "", "------------------------------------BCDFGHJK": "",
	} {
		if got := device.Canonical(typed); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", typed, got, want)
		}
	}
	if got := device.Shown("BCDFGHJK"); device.Canonical(got) != "BCDFGHJK" || got != "BCDF-GHJK" {
		t.Errorf("Shown = %q", got)
	}
}

package logout_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
)

var ended = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

func TestAfter(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		attempts uint32
		answer   logout.Answer
		after    time.Duration // of the end of the session
		status   logout.Status
		pause    time.Duration
	}{
		"ok":                             {1, logout.Answer{Status: 200}, 0, logout.Delivered, 0},
		"no content":                     {1, logout.Answer{Status: 204}, 0, logout.Delivered, 0},
		"ok after a day":                 {40, logout.Answer{Status: 200}, 2 * day, logout.Delivered, 0},
		"accepted is not said to be one": {1, logout.Answer{Status: 202}, 0, logout.Waiting, time.Second},
		"bad request":                    {1, logout.Answer{Status: 400}, 0, logout.Failed, 0},
		"unauthorized":                   {1, logout.Answer{Status: 401}, 0, logout.Waiting, time.Second},
		"not found":                      {1, logout.Answer{Status: 404}, 0, logout.Waiting, time.Second},
		"too many":                       {1, logout.Answer{Status: 429}, 0, logout.Waiting, time.Second},
		"a redirect":                     {1, logout.Answer{Status: 302}, 0, logout.Waiting, time.Second},
		"500":                            {1, logout.Answer{Status: 500}, 0, logout.Waiting, time.Second},
		"503 again":                      {2, logout.Answer{Status: 503}, time.Second, logout.Waiting, 2 * time.Second},
		"503 a third time":               {3, logout.Answer{Status: 503}, 3 * time.Second, logout.Waiting, 4 * time.Second},
		"the twelfth":                    {12, logout.Answer{Status: 503}, time.Hour, logout.Waiting, 2048 * time.Second},
		"an hour at most":                {13, logout.Answer{Status: 503}, 2 * time.Hour, logout.Waiting, time.Hour},
		"however often":                  {1 << 31, logout.Answer{Status: 503}, 2 * time.Hour, logout.Waiting, time.Hour},
		"an attempt that was not counted": {
			0, logout.Answer{Missing: logout.Network}, 0, logout.Waiting, time.Second,
		},
		"timeout":                        {1, logout.Answer{Missing: logout.Timeout}, 0, logout.Waiting, time.Second},
		"network":                        {1, logout.Answer{Missing: logout.Network}, 0, logout.Waiting, time.Second},
		"an address that is not allowed": {1, logout.Answer{Missing: logout.Address}, 0, logout.Waiting, time.Second},
		"no key yet":                     {1, logout.Answer{Missing: logout.NoKey}, 0, logout.Waiting, time.Second},
		"the client is gone":             {1, logout.Answer{Missing: logout.NoClient}, 0, logout.Failed, 0},
		"its URI is gone":                {1, logout.Answer{Missing: logout.NoURI}, 0, logout.Failed, 0},
		"the last is at the end":         {30, logout.Answer{Status: 503}, day - time.Minute, logout.Waiting, time.Minute},
		"a day is over":                  {31, logout.Answer{Status: 503}, day, logout.Failed, 0},
		"a day is over, and no answer":   {31, logout.Answer{Missing: logout.Timeout}, day + time.Hour, logout.Failed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := logout.New(ended)
			before.Attempts = c.attempts
			at := ended.Add(c.after)
			got := before.After(c.answer, at)
			if got.Status != c.status || got.Last != c.answer || got.Attempts != c.attempts || !got.CreatedAt.Equal(ended) {
				t.Fatalf("got %+v", got)
			}
			if got.Status == logout.Waiting && !got.NextAt.Equal(at.Add(c.pause)) {
				t.Errorf("next in %v, want %v", got.NextAt.Sub(at), c.pause)
			}
		})
	}
}

// A client that never answers well is told often at first, and for a day.
func TestSchedule(t *testing.T) {
	t.Parallel()
	s, at, longest := logout.New(ended), ended, time.Duration(0)
	for s.Status == logout.Waiting {
		s.Attempts++
		s = s.After(logout.Answer{Status: 503}, at)
		if s.Status != logout.Waiting {
			break
		}
		if pause := s.NextAt.Sub(at); pause <= 0 || pause > time.Hour {
			t.Fatalf("attempt %d: next in %v", s.Attempts, pause)
		}
		longest = max(longest, s.NextAt.Sub(at))
		at = s.NextAt
	}
	if s.Status != logout.Failed || at.Sub(ended) != 24*time.Hour || longest != time.Hour || s.Attempts != 36 {
		t.Errorf("after %d attempts and %v: %v, longest pause %v", s.Attempts, at.Sub(ended), s.Status, longest)
	}
}

package throttle_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// rows are the buckets as they are stored.
type rows map[string]throttle.Bucket

func key(c throttle.Counter) string { return string(c.Kind) + "|" + strings.Join(c.Parts, "|") }

func (r rows) load(counters []throttle.Counter) []throttle.Bucket {
	out := make([]throttle.Bucket, len(counters))
	for i, c := range counters {
		out[i] = r[key(c)]
	}
	return out
}

func (r rows) store(counters []throttle.Counter, buckets []throttle.Bucket) {
	for i, c := range counters {
		r[key(c)] = buckets[i]
	}
}

// try attempts, and returns how long it must wait instead.
func (r rows) try(a throttle.Action, s throttle.Source, at time.Time) time.Duration {
	counters := throttle.Counters(a, s)
	wait, next := throttle.Admit(counters, r.load(counters), at)
	r.store(counters, next)
	return wait
}

func (r rows) forgive(a throttle.Action, s throttle.Source, at time.Time) {
	counters := throttle.Counters(a, s)
	r.store(counters, throttle.Forgive(counters, r.load(counters), at))
}

var (
	victim = throttle.Source{Identifier: "ada", User: "usr", Network: "203.0.113.0/24"}
	known  = throttle.Source{Identifier: "ada", User: "usr", Network: "203.0.113.0/24", Device: "laptop"}
)

func TestDelaysGrow(t *testing.T) {
	for name, tc := range map[string]struct {
		source throttle.Source
		action throttle.Action
	}{
		"a network":      {victim, throttle.Guess},
		"a device":       {known, throttle.Guess},
		"second factors": {victim, throttle.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r, at := rows{}, now
			for i := range 5 {
				if wait := r.try(tc.action, tc.source, at); wait != 0 {
					t.Fatalf("free attempt %d waits %v", i, wait)
				}
			}
			if wait := r.try(tc.action, tc.source, at); wait != 0 {
				t.Fatalf("the sixth waits %v, though the fifth failure is free", wait)
			}
			for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900} {
				want := time.Duration(seconds) * time.Second
				if wait := r.try(tc.action, tc.source, at); wait != want {
					t.Fatalf("waits %v, want %v", wait, want)
				}
				if wait := r.try(tc.action, tc.source, at.Add(want-time.Millisecond)); wait != time.Millisecond {
					t.Fatalf("waits %v just before the end", wait)
				}
				at = at.Add(want)
				if wait := r.try(tc.action, tc.source, at); wait != 0 {
					t.Fatalf("waits %v after waiting %v", wait, want)
				}
			}
		})
	}
}

func TestQuietForgets(t *testing.T) {
	r := rows{}
	for range 6 {
		r.try(throttle.Guess, victim, now)
	}
	if wait := r.try(throttle.Guess, victim, now.Add(2*time.Hour)); wait != 0 {
		t.Errorf("waits %v", wait)
	}
	for i := range 4 { // two of six are left, and this one
		if wait := r.try(throttle.Guess, victim, now.Add(2*time.Hour)); i < 3 && wait != 0 {
			t.Errorf("attempt %d waits %v", i, wait)
		}
	}
	if wait := r.try(throttle.Guess, victim, now.Add(2*time.Hour)); wait == 0 {
		t.Error("nothing is remembered")
	}
}

func TestSuccessIsNotCounted(t *testing.T) {
	r := rows{}
	for i := range 1000 {
		if wait := r.try(throttle.Guess, victim, now); wait != 0 {
			t.Fatalf("sign-in %d waits %v", i, wait)
		}
		r.forgive(throttle.Guess, victim, now)
	}
}

// Whoever knows the password cannot have more guesses at the second factor by
// proving the password again.
func TestTheFirstFactorDoesNotFreeTheSecond(t *testing.T) {
	r, guesses := rows{}, 0
	for i := range 100 {
		from := throttle.Source{Identifier: "ada", User: "usr", Network: fmt.Sprint(i)}
		if r.try(throttle.Guess, from, now) == 0 {
			r.forgive(throttle.Guess, from, now)
		}
		if r.try(throttle.Second, from, now) == 0 {
			guesses++
		}
	}
	if guesses != 6 {
		t.Errorf("%d guesses at a second factor at once, want 6", guesses)
	}
	if wait := r.try(throttle.Second, known, now); wait != 0 {
		t.Errorf("a known device waits %v", wait)
	}
}

// Whatever others do, from whatever networks: a known device is let through at
// once, and a quiet network after MaxPressure.
func TestNobodyIsLockedOutByOthers(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		r, at, heard := rows{}, now, time.Time{}
		hammer := func() {
			for range random.IntN(200) {
				from := throttle.Source{Identifier: "ada", User: "usr", Network: fmt.Sprint("10.0.", random.IntN(1+int(seed)*10), ".0/24")}
				action := throttle.Action(random.IntN(3))
				if r.try(action, from, at) == 0 && random.IntN(20) == 0 {
					r.forgive(action, from, at)
				}
			}
		}
		for range 100 {
			hammer()
			at = at.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
		}
		if wait := r.try(throttle.Guess, known, at); wait != 0 {
			t.Fatalf("seed %d: a known device waits %v", seed, wait)
		}
		wait := r.try(throttle.Guess, victim, at)
		if wait > throttle.MaxPressure {
			t.Fatalf("seed %d: a quiet network waits %v", seed, wait)
		}
		for end := at.Add(wait); heard.IsZero() && !at.After(end); {
			hammer()
			if at = at.Add(time.Second); at.After(end) {
				at = end
				hammer()
				if wait := r.try(throttle.Guess, victim, at); wait != 0 {
					t.Fatalf("seed %d: waited in vain, and waits %v more", seed, wait)
				}
				heard = at
			}
		}
	}
}

// What many networks can guess at one account is bounded.
func TestGuessesFromManyNetworksInADay(t *testing.T) {
	const networks = 50
	r, guesses := rows{}, 0
	next := make([]time.Time, networks)
	for i := range next {
		next[i] = now
	}
	for at := now; at.Before(now.Add(24 * time.Hour)); at = at.Add(time.Second) {
		for i := range next {
			if at.Before(next[i]) {
				continue
			}
			wait := r.try(throttle.Guess, throttle.Source{Identifier: "ada", User: "usr", Network: fmt.Sprint(i)}, at)
			if wait == 0 {
				guesses++
			}
			next[i] = at.Add(wait)
		}
	}
	t.Logf("%d guesses from %d networks in a day", guesses, networks)
	if guesses > networks*120 {
		t.Errorf("%d guesses from %d networks in a day", guesses, networks)
	}
}

func TestOneNetworkAndManyAccounts(t *testing.T) {
	r, guesses := rows{}, 0
	for i := range 1000 {
		if r.try(throttle.Guess, throttle.Source{Identifier: fmt.Sprint(i), Network: "n"}, now) == 0 {
			guesses++
		}
	}
	if guesses != 101 {
		t.Errorf("%d guesses from one network at once", guesses)
	}
	if wait := r.try(throttle.Guess, throttle.Source{Identifier: "ada", User: "usr", Network: "n", Device: "laptop"}, now); wait != 0 {
		t.Errorf("a known device in that network waits %v", wait)
	}
}

// However the clock jumps, a block is never longer than Max and never ends before
// what it had left is over.
func TestTheClockJumps(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 2))
		r, at := rows{}, now
		for range 200 {
			wait := r.try(throttle.Guess, known, at)
			if wait > 15*time.Minute {
				t.Fatalf("seed %d: waits %v", seed, wait)
			}
			if wait > time.Second {
				back := at.Add(-time.Duration(random.IntN(48)) * time.Hour)
				if again := r.try(throttle.Guess, known, back); again < wait || again > 15*time.Minute {
					t.Fatalf("seed %d: waits %v after the clock was put back, and %v before", seed, again, wait)
				}
				at = back
			}
			at = at.Add(time.Duration(random.IntN(600)) * time.Second)
		}
	}
}

func TestCounters(t *testing.T) {
	for name, tc := range map[string]struct {
		action throttle.Action
		source throttle.Source
		want   string
	}{
		"guess":                {throttle.Guess, victim, "network identifier network_identifier"},
		"guess, known device":  {throttle.Guess, known, "device"},
		"guess of a passkey":   {throttle.Guess, throttle.Source{Network: "n"}, "network"},
		"second":               {throttle.Second, victim, "network second_user"},
		"second, known device": {throttle.Second, known, "second_device"},
		"letter":               {throttle.Letter, victim, "letter_network letter_identifier letter_network_identifier"},
		"letter, known device": {throttle.Letter, known, "letter_device"},
		"begin":                {throttle.Begin, victim, "start_network"},
		"begin, known device":  {throttle.Begin, known, "start_network"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range throttle.Counters(tc.action, tc.source) {
				got = append(got, string(c.Kind))
				if c.Limit.Pressure && c.Limit.Held {
					t.Errorf("%s is both", c.Kind)
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("counts %v, want %s", got, tc.want)
			}
		})
	}
	var cleared []string
	for _, c := range append(throttle.Cleared(victim), throttle.Cleared(known)...) {
		cleared = append(cleared, string(c.Kind))
	}
	if got := strings.Join(cleared, " "); got != "network_identifier second_user device second_device" {
		t.Errorf("cleared: %s", got)
	}
}

func mac(purpose, realm, text string) []byte {
	m := hmac.New(sha256.New, []byte("key"))
	_, _ = fmt.Fprintf(m, "%d %s %d %s %s", len(purpose), purpose, len(realm), realm, text)
	return m.Sum(nil)
}

func TestDevice(t *testing.T) {
	text := throttle.NewDevice(mac, "usr_ada", [16]byte{1}, now)
	if len(text.Reveal()) > 512 {
		t.Errorf("a device has %d bytes", len(text.Reveal()))
	}
	otherMAC := func(purpose, realm, text string) []byte { return mac("other "+purpose, realm, text) }
	for name, tc := range map[string]struct {
		mac  throttle.MAC
		user string
		text string
		at   time.Time
		want bool
	}{
		"its user":       {mac, "usr_ada", text.Reveal(), now, true},
		"a year later":   {mac, "usr_ada", text.Reveal(), now.AddDate(1, 0, 0), true},
		"two later":      {mac, "usr_ada", text.Reveal(), now.AddDate(2, 0, 0), false},
		"from to come":   {mac, "usr_ada", text.Reveal(), now.AddDate(0, 0, -3), false},
		"another user":   {mac, "usr_bob", text.Reveal(), now, false},
		"nobody":         {mac, "", throttle.NewDevice(mac, "", [16]byte{1}, now).Reveal(), now, false},
		"another key":    {otherMAC, "usr_ada", text.Reveal(), now, false},
		"nothing":        {mac, "usr_ada", "", now, false},
		"cut":            {mac, "usr_ada", text.Reveal()[:40], now, false},
		"another prefix": {mac, "usr_ada", "mat_" + text.Reveal()[4:], now, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := throttle.Device(tc.mac, tc.user, secret.NewString(tc.text), tc.at)
			if (got != "") != tc.want {
				t.Errorf("Device = %q, want one: %v", got, tc.want)
			}
		})
	}
}

func FuzzDevice(f *testing.F) {
	f.Add(throttle.NewDevice(mac, "usr_ada", [16]byte{1}, now).Reveal(), "usr_ada")
	f.Add("mdv_", "")
	f.Fuzz(func(t *testing.T, text, user string) {
		device := throttle.Device(mac, user, secret.NewString(text), now)
		if device != "" && throttle.Device(mac, user+"x", secret.NewString(text), now) != "" {
			t.Error("a device of two users")
		}
	})
}

package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

func TestGuessesAtOnceAreCounted(t *testing.T) {
	d, ctx := crowded(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	const guesses = 64
	wrong := func(i int) *identityv1.ContinueAuthenticationRequest_EmailCode {
		return &identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: fmt.Sprintf("%08d", i)}
	}
	t.Run("of one code", func(t *testing.T) {
		b := d.browser(ctx, "203.0.113.7")
		must(t, b.start(signIn, ada))
		must(t, b.request(byCode))
		got := outcomes(guesses, func(i int) error {
			guess := *b
			guess.ip = fmt.Sprintf("198.51.%d.1", i)
			_, err := d.auth.ContinueAuthentication(ctx, guess.attempt(with(wrong(i))))
			return err
		})
		if got["AUTHENTICATION_REJECTED"] != 5 || got["FACTOR_UNAVAILABLE"] != guesses-5 {
			t.Errorf("%v, want 5 rejected and the others unavailable", got)
		}
		wants(t, b.prove(with(d.code(t, ada))), commonv1.Reason_FACTOR_UNAVAILABLE)
	})
	t.Run("in one authentication", func(t *testing.T) {
		b := d.browser(ctx, "203.0.113.8")
		must(t, b.start(signIn, ada))
		got := outcomes(guesses, func(i int) error {
			guess := *b
			guess.ip = fmt.Sprintf("198.52.%d.1", i)
			_, err := d.auth.ContinueAuthentication(ctx, guess.attempt(text(fmt.Sprint("wrong password ", i))))
			return err
		})
		if got["AUTHENTICATION_REJECTED"] != 10 || got["AUTHENTICATION_ENDED"] != guesses-10 {
			t.Errorf("%v, want 10 rejected and the others ended", got)
		}
		wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_ENDED)
	})
	t.Run("from one network", func(t *testing.T) {
		for _, email := range []string{"bob@example.com", "nobody@example.com"} {
			if email == "bob@example.com" {
				d.setPassword(t, ctx, d.user(t, ctx, email, "Bob"), goodText)
			}
			browsers := make([]*browser, guesses)
			for i := range browsers {
				browsers[i] = d.browser(ctx, "192.0.2.7")
				must(t, browsers[i].start(signIn, email))
			}
			got := outcomes(guesses, func(i int) error { return browsers[i].prove(text(fmt.Sprint("wrong password ", i))) })
			if got["AUTHENTICATION_REJECTED"] != 6 || got["RATE_LIMITED"] != guesses-6 {
				t.Errorf("%s: %v, want 6 rejected and the others told to wait", email, got)
			}
		}
	})
}

// What others do does not lock a user out.
func TestABystanderCannotLockAnybodyOut(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	home := d.browser(ctx, "203.0.113.7")
	must(t, home.start(signIn, ada))
	must(t, home.prove(text(goodText)))
	_, err := home.finish()
	must(t, err)

	for network := range 12 {
		b := d.browser(ctx, fmt.Sprintf("198.51.%d.1", network))
		for range 8 {
			must(t, b.start(signIn, ada))
			if err := b.prove(text("wrong horse battery")); !fault.Is(err, commonv1.Reason_AUTHENTICATION_REJECTED) && !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
				t.Fatal(err)
			}
		}
	}
	must(t, home.start(signIn, ada))
	must(t, home.prove(text(goodText)))
	// The same device is nothing for another user.
	bob := d.user(t, ctx, "bob@example.com", "Bob")
	d.setPassword(t, ctx, bob, goodText)
	away := d.browser(ctx, "192.0.2.7")
	must(t, away.start(signIn, ada))
	err = away.prove(text(goodText))
	f, ok := fault.As(err)
	if !ok || f.Reason != commonv1.Reason_RATE_LIMITED || f.RetryAfter <= 0 || f.RetryAfter > 30*time.Second {
		t.Fatalf("from a quiet network: %v", err)
	}
	d.advance(f.RetryAfter)
	must(t, away.prove(text(goodText)))
}

// A second factor cannot be guessed faster by proving the first again.
func TestSecondFactorsAreCountedByThemselves(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	d.addTOTP(t, ctx, user)
	guesses := 0
	for i := range 30 {
		b := d.browser(ctx, fmt.Sprintf("198.51.%d.1", i))
		must(t, b.start(signIn, ada))
		must(t, b.prove(text(goodText)))
		err := b.prove(with(&identityv1.ContinueAuthenticationRequest_Totp{Totp: fmt.Sprintf("%06d", i)}))
		switch {
		case fault.Is(err, commonv1.Reason_AUTHENTICATION_REJECTED):
			guesses++
		case !fault.Is(err, commonv1.Reason_RATE_LIMITED):
			t.Fatal(err)
		}
	}
	if guesses != 6 {
		t.Errorf("%d guesses at once, want 6", guesses)
	}
}

func TestLettersAreLimited(t *testing.T) {
	for _, email := range []string{ada, "nobody@example.com"} {
		d, ctx := newDoor(t), admin(t)
		d.user(t, ctx, ada, "Ada")
		b := d.browser(ctx, "203.0.113.7")
		asked := 0
		for range 20 {
			must(t, b.start(signIn, email))
			switch err := b.request(byCode); {
			case err == nil:
				asked++
			case !fault.Is(err, commonv1.Reason_RATE_LIMITED):
				t.Fatal(err)
			}
		}
		if asked != 6 {
			t.Errorf("%s: %d letters at once, want 6", email, asked)
		}
		if want := map[string]int{ada: 6}[email]; d.letters() != want {
			t.Errorf("%s: %d letters sent, want %d", email, d.letters(), want)
		}
	}
}

// The clock is put back: nothing lives longer.
func TestTheClockGoesBack(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	d.user(t, ctx, ada, "Ada")
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	must(t, b.request(byCode))
	d.advance(-24 * time.Hour)
	wants(t, b.prove(with(&identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: "00000000"})), commonv1.Reason_AUTHENTICATION_REJECTED)
	d.advance(10 * time.Minute)
	wants(t, b.prove(with(d.code(t, ada))), commonv1.Reason_FACTOR_UNAVAILABLE)
}

// Addresses of one network are one to the limits, however they are written.
func TestNetworks(t *testing.T) {
	for _, tc := range []struct {
		first, second string
		same          bool
	}{
		{"203.0.113.7", "203.0.113.250", true},
		{"203.0.113.7", "203.0.114.7", false},
		{"203.0.113.7", "::ffff:203.0.113.9", true},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::2", true},
	} {
		d, ctx := newDoor(t), admin(t)
		for range 6 {
			b := d.browser(ctx, tc.first)
			must(t, b.start(signIn, ada))
			wants(t, b.prove(text("wrong horse battery")), commonv1.Reason_AUTHENTICATION_REJECTED)
		}
		b := d.browser(ctx, tc.second)
		must(t, b.start(signIn, ada))
		want := commonv1.Reason_AUTHENTICATION_REJECTED
		if tc.same {
			want = commonv1.Reason_RATE_LIMITED
		}
		wants(t, b.prove(text("wrong horse battery")), want)
	}
	b := newDoor(t).browser(admin(t), "")
	for _, b.ip = range []string{"203.0.113.7:443", "localhost", "", "203.0.113.007", strings.Repeat("1", 45)} {
		wants(t, b.start(signIn, ada), commonv1.Reason_INVALID_FIELD)
	}
}

// What throttling does is counted, by kinds of buckets.
func TestThrottlingIsMetered(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	registry := prometheus.NewRegistry()
	d.auth.Meter = rpc.NewMeter(registry)
	for range 8 {
		b := d.browser(ctx, "203.0.113.7")
		must(t, b.start(signIn, ada))
		_ = b.prove(text("wrong horse battery"))
	}
	families, err := registry.Gather()
	must(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[strings.TrimPrefix(f.GetName(), "meridian_identity_authentication_")+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"failures_total network_identifier": 6, "failures_total identifier": 6, "failures_total network": 6,
		"lockouts_total network_identifier": 1, "lockouts_total network": 0, "throttled_total network_identifier": 2,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

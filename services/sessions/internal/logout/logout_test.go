package logout_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/outbound"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	domain "github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
	"github.com/meridian-iam/meridian/services/sessions/internal/sweep"
)

const reason = eventv1.Revocation_REVOCATION_REVOKED

// O20: what a client is told, and again when it cannot be told at once.
func TestTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := f.application(t, status(503, 200))
	told, untold := f.client(t, shop.at()), f.client(t, "")
	user := id.New(id.User)
	ended := f.signIn(t, user, told, untold, told)
	other := f.signIn(t, user, told)
	teller := f.teller()
	if f.tell(t, teller) != 0 {
		t.Fatal("clients are told of what goes on")
	}
	f.end(t, ending.Of{User: user, Session: ended, Reason: reason})
	if f.tell(t, teller) != 1 || f.tell(t, teller) != 0 {
		t.Fatal("one client is to be told, once")
	}
	row := f.rows(t, user)[0]
	if row.Status != domain.Waiting || row.Attempts != 1 || row.Last.Status != 503 || !row.NextAt.Equal(f.clock().Add(time.Second)) {
		t.Errorf("after an error it is %+v", row)
	}
	first := f.valid(t, shop.told()[0], told, user, ended)
	f.advance(time.Second)
	if f.tell(t, teller) != 1 || f.tell(t, teller) != 0 {
		t.Fatal("it is to be told again, once")
	}
	if second := f.valid(t, shop.told()[1], told, user, ended); second == first {
		t.Error("two tokens have one id")
	}
	rows := f.rows(t, user)
	if len(rows) != 1 || rows[0].Status != domain.Delivered || rows[0].Session != ended || rows[0].HomeRegion != region {
		t.Errorf("told, it is %+v", rows)
	}
	f.end(t, ending.Of{User: user, All: true, Reason: reason})
	f.end(t, ending.Of{User: user, All: true, Reason: reason}) // of what has ended nobody is told again
	if f.tell(t, teller) != 1 || len(f.rows(t, user)) != 2 {
		t.Error("the end of the other session is not told once")
	}
	f.valid(t, shop.told()[2], told, user, other)
}

// What was revoked before, and swept, does not hide that a client was there.
func TestRevokedBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := f.application(t, status(200))
	told := f.client(t, shop.at())
	user := id.New(id.User)
	ended := f.signIn(t, user, told)
	f.end(t, ending.Of{User: user, Grants: store.GrantsOf{Client: told}, Reason: eventv1.Revocation_REVOCATION_CLIENT})
	f.advance(time.Hour)
	if _, err := (&sweep.Sweeper{DB: f.db, Clock: f.clock}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.end(t, ending.Of{User: user, Session: ended, Reason: reason})
	if f.tell(t, f.teller()) != 1 || len(shop.told()) != 1 {
		t.Error("nobody was told")
	}
}

// A commit that fails tells nobody; one that is made does, whatever becomes of its process.
func TestProcessesEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := f.application(t, status(200))
	told := f.client(t, shop.at())
	user := id.New(id.User)
	ended := f.signIn(t, user, told)
	undo := errors.New("undo")
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if _, err := ending.In(ctx, tx, f.log, nobody(), ending.Of{User: user, Session: ended, Reason: reason}); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) || len(f.rows(t, user)) != 0 {
		t.Fatalf("%v; %d rows of a session that goes on", err, len(f.rows(t, user)))
	}
	f.end(t, ending.Of{User: user, Session: ended, Reason: reason}) // and this process ends
	// The next one ends in the middle of a call.
	ctx, cancel := context.WithCancel(t.Context())
	hanging := f.application(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	f.settings(t, told, hanging.at())
	if tried, err := f.teller().Tell(ctx); tried != 1 || err != nil {
		t.Fatal(tried, err)
	}
	if row := f.rows(t, user)[0]; row.Status != domain.Waiting || row.Attempts != 1 || row.Last != (domain.Answer{}) {
		t.Errorf("a call that was broken off is %+v", row)
	}
	f.settings(t, told, shop.at())
	next := f.teller()
	if f.tell(t, next) != 0 {
		t.Error("two are told at once")
	}
	f.advance(logout.Lease)
	if f.tell(t, next) != 1 || f.rows(t, user)[0].Status != domain.Delivered {
		t.Fatal("another process does not tell it")
	}
	f.valid(t, shop.told()[0], told, user, ended)
}

// settings changes where a client is told.
func (f *fixture) settings(t *testing.T, client, to string) {
	t.Helper()
	c, err := store.FindClient(t.Context(), f.db.Pool(), client)
	if err != nil {
		t.Fatal(err)
	}
	f.change(t, &c, &eventv1.ClientSettingsChanged{Client: client, Settings: &eventv1.ClientSettings{
		Name: "Shop", IdTokenAlgorithm: "ES256", BackchannelLogoutUri: to,
	}})
}

// Four tellers at once tell each client of each session once.
func TestTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := f.application(t, status(200))
	told := []string{f.client(t, shop.at()), f.client(t, shop.at()), f.client(t, shop.at())}
	const sessions = 60
	for range sessions {
		user := id.New(id.User)
		f.end(t, ending.Of{User: user, Session: f.signIn(t, user, told...), Reason: reason})
	}
	var group sync.WaitGroup
	for range 4 {
		teller := f.teller()
		group.Go(func() {
			for len(shop.told()) < sessions*len(told) && t.Context().Err() == nil {
				if _, err := teller.Tell(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	tokens := shop.told()
	slices.Sort(tokens)
	if got := len(slices.Compact(tokens)); len(tokens) != sessions*len(told) || got != len(tokens) {
		t.Errorf("%d tokens, %d different, for %d", len(tokens), got, sessions*len(told))
	}
	if f.tell(t, f.teller()) != 0 {
		t.Error("some are told again")
	}
}

// What comes of a call, by what the client does.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	evil := f.application(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed, or a guard asleep") })
	gone := f.application(t, status(200))
	gone.Close()
	local := f.application(t, status(200))
	for name, c := range map[string]struct {
		to   string
		do   http.HandlerFunc
		want domain.Status
		last domain.Answer
	}{
		"ok":          {do: status(200), want: domain.Delivered, last: domain.Answer{Status: 200}},
		"no content":  {do: status(204), want: domain.Delivered, last: domain.Answer{Status: 204}},
		"bad request": {do: status(400), want: domain.Failed, last: domain.Answer{Status: 400}},
		"not found":   {do: status(404), want: domain.Waiting, last: domain.Answer{Status: 404}},
		"error":       {do: status(500), want: domain.Waiting, last: domain.Answer{Status: 500}},
		"a redirect": {do: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, evil.at(), http.StatusTemporaryRedirect)
		}, want: domain.Waiting, last: domain.Answer{Status: 307}},
		"a body without an end": {do: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat("x", 1<<16))); err != nil {
					return
				}
			}
		}, want: domain.Delivered, last: domain.Answer{Status: 200}},
		"no answer":         {do: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want: domain.Waiting, last: domain.Answer{Missing: domain.Timeout}},
		"nobody there":      {to: gone.at(), want: domain.Waiting, last: domain.Answer{Missing: domain.Network}},
		"localhost":         {to: strings.Replace(local.at(), "127.0.0.1", "localhost", 1), want: domain.Delivered, last: domain.Answer{Status: 200}},
		"this machine":      {to: strings.Replace(evil.at(), "http://127.0.0.1", "https://127.0.0.2", 1), want: domain.Waiting, last: domain.Answer{Missing: domain.Address}},
		"a private network": {to: "https://10.0.0.1/logout", want: domain.Waiting, last: domain.Answer{Missing: domain.Address}},
		"credentials":       {to: "https://169.254.169.254/latest", want: domain.Waiting, last: domain.Answer{Missing: domain.Address}},
	} {
		t.Run(name, func(t *testing.T) {
			to := c.to
			if c.do != nil {
				to = f.application(t, c.do).at()
			}
			user := id.New(id.User)
			f.end(t, ending.Of{User: user, Session: f.signIn(t, user, f.client(t, to)), Reason: reason})
			teller := f.teller()
			teller.Hurry(time.Hour) // so that nothing else ends a body without an end
			if c.last.Missing == domain.Timeout {
				teller.Hurry(50 * time.Millisecond)
			}
			f.tell(t, teller)
			if row := f.rows(t, user)[0]; row.Status != c.want || row.Last != c.last || row.Attempts != 1 {
				t.Errorf("it is %+v, want %v %+v", row.State, c.want, c.last)
			}
		})
	}
}

// A client on this machine is held to its certificate, as others are: by whom the system or
// the configuration takes.
func TestCertificates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := httptest.NewUnstartedServer(status(200))
	shop.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // whom the client does not take
	shop.StartTLS()
	t.Cleanup(shop.Close)
	roots := x509.NewCertPool()
	roots.AddCert(shop.Certificate())
	for name, c := range map[string]struct {
		rules outbound.Options
		want  domain.Status
		last  domain.Answer
	}{
		"of an authority that is configured": {outbound.Options{Roots: roots}, domain.Delivered, domain.Answer{Status: 200}},
		"of nobody who is known":             {outbound.Options{}, domain.Waiting, domain.Answer{Missing: domain.Certificate}},
	} {
		t.Run(name, func(t *testing.T) {
			user := id.New(id.User)
			f.end(t, ending.Of{User: user, Session: f.signIn(t, user, f.client(t, shop.URL)), Reason: reason})
			f.tell(t, f.tellerBy(c.rules))
			if row := f.rows(t, user)[0]; row.Status != c.want || row.Last != c.last {
				t.Errorf("it is %+v, want %v %+v", row.State, c.want, c.last)
			}
		})
	}
}

// Nobody is told for longer than a day, and not at all who is not to be told any more.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	broken := f.application(t, status(503))
	user := id.New(id.User)
	stays, deleted, changed := f.client(t, broken.at()), f.client(t, broken.at()), f.client(t, broken.at())
	f.end(t, ending.Of{User: user, Session: f.signIn(t, user, stays, deleted, changed), Reason: reason})
	f.change(t, f.found(deleted), &eventv1.ClientDeleted{Client: deleted})
	f.settings(t, changed, "")
	teller := f.teller()
	f.tell(t, teller)
	for name, want := range map[string]domain.Answer{deleted: {Missing: domain.NoClient}, changed: {Missing: domain.NoURI}} {
		for _, row := range f.rows(t, user) {
			if row.Client == name && (row.Status != domain.Failed || row.Last != want) {
				t.Errorf("it is %+v, want %+v", row.State, want)
			}
		}
	}
	f.advance(24 * time.Hour)
	f.tell(t, teller)
	f.advance(24 * time.Hour)
	if f.tell(t, teller) != 0 || len(broken.told()) != 2 {
		t.Errorf("told %d times", len(broken.told()))
	}
	for _, row := range f.rows(t, user) {
		if row.Status != domain.Failed {
			t.Errorf("after a day it is %+v", row.State)
		}
	}
	f.advance(6 * 24 * time.Hour)
	if _, err := (&sweep.Sweeper{DB: f.db, Clock: f.clock}).Sweep(t.Context()); err != nil || len(f.rows(t, user)) != 0 {
		t.Errorf("%v; %d rows are kept", err, len(f.rows(t, user)))
	}
}

// A client that does not answer in time is left out for a while.
func TestSlow(t *testing.T) {
	t.Parallel()
	for name, application := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a status, and no end": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			told := f.client(t, f.application(t, application).at())
			user := id.New(id.User)
			f.end(t, ending.Of{User: user, Session: f.signIn(t, user, told), Reason: reason})
			teller := f.teller()
			teller.Hurry(50 * time.Millisecond)
			f.tell(t, teller)
			f.advance(2 * time.Second)
			if f.tell(t, teller) != 0 {
				t.Error("it holds up the others again")
			}
			f.advance(logout.SlowFor)
			if f.tell(t, teller) != 1 {
				t.Error("it is left out for good")
			}
		})
	}
}

// Who is erased is forgotten, and clients are told nonetheless.
func TestErased(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := f.application(t, status(200))
	told := f.client(t, shop.at())
	user := id.New(id.User)
	teller := f.teller()
	f.end(t, ending.Of{User: user, Session: f.signIn(t, user, told), Reason: reason})
	f.tell(t, teller)
	f.end(t, ending.Of{User: user, Session: f.signIn(t, user, told), Reason: reason})
	f.signIn(t, user, told)
	if err := store.ForgetUser(t.Context(), f.db, user); err != nil {
		t.Fatal(err)
	}
	var parties int
	if err := f.db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM sessions.parties`).Scan(&parties); err != nil || parties != 0 {
		t.Errorf("%v; %d are kept of where the user was", err, parties)
	}
	if rows := f.rows(t, user); len(rows) != 1 || rows[0].Status != domain.Waiting {
		t.Errorf("what is kept is %+v", rows)
	}
	if f.tell(t, teller) != 1 || len(shop.told()) != 2 {
		t.Error("the client is not told")
	}
}

// What is told is counted, and how long it waits measured, until Run is told to end.
func TestMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shop := f.application(t, status(503, 200))
	user := id.New(id.User)
	told := f.client(t, shop.at())
	f.end(t, ending.Of{User: user, Session: f.signIn(t, user, told), Reason: reason})
	registry := prometheus.NewRegistry()
	teller := logout.New(logout.Options{
		DB: f.db, Keys: f, Region: region, Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	f.tell(t, teller)
	f.advance(500 * time.Millisecond) // not yet due again
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- teller.Run(ctx) }()
	want := func(waiting, delivered, again float64) {
		t.Helper()
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for ; t.Context().Err() == nil; <-look.C {
			got := gathered(t, registry)
			if got["meridian_sessions_logout_waiting_age_seconds"] == waiting && got["meridian_sessions_logout_attempts_total delivered"] == delivered &&
				got["meridian_sessions_logout_attempts_total waiting"] == again && got["meridian_sessions_logout_attempts_total failed"] == 0 {
				return
			}
		}
	}
	want(.5, 0, 1)
	f.advance(500 * time.Millisecond)
	want(0, 1, 1)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// gathered are the values of a registry, by name and label.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

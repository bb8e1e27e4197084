package rpc_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
)

// statements notes what the database is asked, in order.
type statements struct {
	mu  sync.Mutex
	all []string
}

func (s *statements) note(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, strings.Join(strings.Fields(sql), " "))
}

// take returns what was noted since it was called last.
func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.note(q.SQL)
	return ctx
}
func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (*statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	s.note(q.SQL)
}
func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// step is something that a browser does before the first factor is proved.
type step struct {
	name string
	do   func(b *browser) error
}

// seen is what a step shows, and what it does behind.
type seen struct {
	answer string
	sql    []string
	// work is how many bytes were allocated: a hash takes its memory.
	work uint64
	took time.Duration
}

// anonymous is a message without what differs for everybody.
func anonymous(a *identityv1.Authentication) string {
	if a == nil {
		return ""
	}
	a = proto.CloneOf(a)
	a.Id, a.ExpiresAt = "", nil
	return a.String()
}

func watch(b *browser, s *statements, do func(b *browser) error) seen {
	s.take()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	err := do(b)
	out := seen{took: time.Since(begin), sql: s.take()}
	runtime.ReadMemStats(&after)
	out.work = after.TotalAlloc - before.TotalAlloc
	out.answer = anonymous(b.seen)
	if f, ok := fault.As(err); ok {
		out.answer += fmt.Sprint(f.Kind, f.Reason, f.Detail, f.Meta, f.RetryAfter)
	}
	return out
}

// hashMemory is more than all else that a step allocates.
const hashMemory = 16 << 20

// watched is a door whose database notes its statements, and whose hashes can be
// counted by their memory.
func watched(t *testing.T) (*door, *statements) {
	t.Helper()
	s := &statements{}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 4, Tracer: s})
	must(t, err)
	t.Cleanup(db.Close)
	d := newDoorOn(t, newFixtureOn(t, db))
	hasher, err := password.New(password.Config{Params: password.Params{Memory: hashMemory >> 10, Passes: 1, Parallelism: 1}})
	must(t, err)
	d.auth.Factors.Hasher, d.cred.Factors.Hasher = hasher, hasher
	return d, s
}

// Whether there is a user, and in what state, shows in nothing before a factor is
// proved: not in answers, not in statements, not in hashes. Times are shown and
// not judged.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	guess := func(p evidence) func(b *browser) error { return func(b *browser) error { return b.prove(p) } }
	wrongCode := with(&identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: "00000000"})
	wrongLink := with(&identityv1.ContinueAuthenticationRequest_EmailLink{EmailLink: strings.Repeat("A", 43)})
	begin := func(p identityv1.Purpose) func(b *browser) error {
		return func(b *browser) error { return b.start(p, b.email) }
	}
	for name, steps := range map[string][]step{
		"sign-in": {
			{"start", begin(signIn)},
			{"password", guess(text("wrong horse battery"))},
			{"password again", guess(text("wrong horse battery"))},
			{"request code", func(b *browser) error { return b.request(byCode) }},
			{"code", guess(wrongCode)},
			{"request link", func(b *browser) error { return b.request(byLink) }},
			{"link", guess(wrongLink)},
			{"request passkey", func(b *browser) error { return b.request(byPasskey) }},
			{"totp", guess(with(&identityv1.ContinueAuthenticationRequest_Totp{Totp: "123456"}))},
			{"finish", func(b *browser) error { _, err := b.finish(); return err }},
		},
		"sign-up": {
			{"start", begin(signUp)},
			{"request code", func(b *browser) error { return b.request(byCode) }},
			{"code", guess(wrongCode)},
			{"request link", func(b *browser) error { return b.request(byLink) }},
			{"link", guess(wrongLink)},
			{"new password", guess(renewed(goodText))},
			{"finish", func(b *browser) error { _, err := b.finish(); return err }},
		},
		"recovery": {
			{"start", begin(restore)},
			{"request code", func(b *browser) error { return b.request(byCode) }},
			{"code", guess(wrongCode)},
			{"new password", guess(renewed(goodText))},
			{"finish", func(b *browser) error { _, err := b.finish(); return err }},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, s := watched(t)
			addresses := d.everyKind(t)
			got := map[string][]seen{}
			for _, kind := range sortedKinds(addresses) {
				b := d.browser(admin(t), "203.0.113.7")
				b.email = addresses[kind]
				for _, st := range steps {
					got[kind] = append(got[kind], watch(b, s, st.do))
				}
				d.advance(24 * time.Hour) // what was counted is forgotten
			}
			compare(t, steps, got)
		})
	}
}

// everyKind makes users of each kind, and returns their addresses; and that of
// nobody.
func (d *door) everyKind(t *testing.T) map[string]string {
	t.Helper()
	ctx := admin(t)
	addresses := map[string]string{"nobody": "nobody@example.com"}
	for _, kind := range []string{"with a password", "with nothing", "with all", "suspended", "erased"} {
		address := strings.ReplaceAll(kind, " ", "-") + "@example.com"
		user := d.user(t, ctx, address, "Somebody")
		addresses[kind] = address
		if kind != "with nothing" {
			d.setPassword(t, ctx, user, goodText)
		}
		switch kind {
		case "with all":
			d.addTOTP(t, ctx, user)
			d.recoveryCodes(t, ctx, user)
			d.register(t, ctx, user, newAuthenticator(user, true))
		case "suspended":
			_, err := d.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: user, IdempotencyKey: key()})
			must(t, err)
		case "erased":
			_, err := d.users.EraseUser(ctx, &identityv1.EraseUserRequest{User: user, IdempotencyKey: key()})
			must(t, err)
		}
	}
	return addresses
}

func sortedKinds(addresses map[string]string) []string {
	kinds := make([]string, 0, len(addresses))
	for kind := range addresses {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

func compare(t *testing.T, steps []step, got map[string][]seen) {
	t.Helper()
	want := got["nobody"]
	for kind, all := range got {
		for i, st := range steps {
			if all[i].answer != want[i].answer {
				t.Errorf("%s, %s: answers\n%s\nand for nobody\n%s", st.name, kind, all[i].answer, want[i].answer)
			}
			if !slices.Equal(all[i].sql, want[i].sql) {
				t.Errorf("%s, %s: asks\n%s\nand for nobody\n%s", st.name, kind, strings.Join(all[i].sql, "\n"), strings.Join(want[i].sql, "\n"))
			}
			if a, b := all[i].work/hashMemory, want[i].work/hashMemory; a != b {
				t.Errorf("%s, %s: %d hashes, and for nobody %d", st.name, kind, a, b)
			}
		}
	}
	for i, st := range steps {
		line := st.name
		for _, kind := range []string{"nobody", "with a password", "with all"} {
			line += fmt.Sprintf(", %s %v", kind, got[kind][i].took.Round(10*time.Microsecond))
		}
		t.Log(line, "in", len(want[i].sql), "statements,", want[i].work/hashMemory, "hashes")
	}
}

// The medians of many sign-ins, for whoever wants to look. Nothing is judged by
// them.
func TestTimesOfKnownAndUnknown(t *testing.T) {
	const rounds = 30
	d, s := watched(t)
	addresses := d.everyKind(t)
	for _, st := range []step{
		{"start", nil},
		{"password", func(b *browser) error { return b.prove(text("wrong horse battery")) }},
		{"request code", func(b *browser) error { return b.request(byCode) }},
	} {
		line := st.name
		for _, kind := range []string{"nobody", "with a password", "with nothing"} {
			var took []time.Duration
			for range rounds {
				b := d.browser(admin(t), "203.0.113.7")
				start := func(b *browser) error { return b.start(signIn, addresses[kind]) }
				if st.do == nil {
					took = append(took, watch(b, s, start).took)
				} else {
					must(t, start(b))
					took = append(took, watch(b, s, st.do).took)
				}
				d.advance(24 * time.Hour)
			}
			slices.Sort(took)
			line += fmt.Sprintf(", %s %v", kind, took[rounds/2].Round(10*time.Microsecond))
		}
		t.Log("median of", line)
	}
}

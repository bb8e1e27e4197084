package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// console is a system that users come from: it knows passwords by user.
type console struct {
	*httptest.Server

	passwords map[string]string
	mu        sync.Mutex
	asked     int
	broken    bool
}

func newConsole(t *testing.T, passwords map[string]string) *console {
	t.Helper()
	c := &console{passwords: passwords}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct {
			ExternalID string `json:"external_id"`
			Password   string `json:"password"`
		}
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		switch {
		case c.broken:
			w.WriteHeader(http.StatusServiceUnavailable)
		case c.passwords[question.ExternalID] == question.Password:
			_, _ = io.WriteString(w, `{"ok": true}`)
		default:
			_, _ = io.WriteString(w, `{"ok": false}`)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func TestHook(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	system := newConsole(t, map[string]string{"4711": "right", "4712": "right"})
	hook := &legacy.Hook{DB: f.db, Blind: f.blind, Checker: legacy.New(legacy.Options{})}
	hashed := person("4712", "bob@example.com")
	hashed.PasswordHash = foreignHash
	results := bring(t, ctx, m, person("4711", "ada@example.com"), hashed)
	ada, bob := results[0].GetUser(), results[1].GetUser()
	stranger := f.user(t, ctx, "eve@example.com", "Eve")
	verify := func(user, password string) (string, error) {
		return hook.Verify(ctx, user, "ada@example.com", secret.NewString(password))
	}
	steps := []struct {
		name           string
		given          func()
		user, password string
		want           string
		asked          bool
		unavailable    bool
	}{
		{name: "no checker", user: ada, password: "right"},
		{name: "accepted", given: func() { put(t, ctx, m, system.URL, false, false) }, user: ada, password: "right", want: "console", asked: true},
		{name: "rejected", user: ada, password: "wrong", asked: true},
		{name: "came with a hash", user: bob, password: "right"},
		{name: "came from nowhere", user: stranger, password: "right"},
		{name: "nobody", user: "usr_00000000000000000000000001", password: "right"},
		{name: "broken", given: func() { system.broken = true }, user: ada, password: "right", asked: true, unavailable: true},
		{name: "kill switch", given: func() { put(t, ctx, m, system.URL, true, false) }, user: ada, password: "right"},
		{name: "switched on", given: func() { system.broken = false; put(t, ctx, m, system.URL, false, false) }, user: ada, password: "right", want: "console", asked: true},
		{name: "migrated", given: func() { f.migrated(t, ctx, ada) }, user: ada, password: "right"},
	}
	for _, step := range steps {
		if step.given != nil {
			step.given()
		}
		before := system.asked
		got, err := verify(step.user, step.password)
		if step.unavailable != fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) || err != nil && !step.unavailable || got != step.want {
			t.Errorf("%s: %q, %v", step.name, got, err)
		}
		if asked := system.asked > before; asked != step.asked {
			t.Errorf("%s: asked = %t", step.name, asked)
		}
	}
	f.wantSource(t, ctx, m, &identityv1.Source{Name: "console", CheckerUrl: system.URL, Users: 2, Migrated: 2})
}

// migrated marks a user migrated, as whoever sets the password does.
func (f *fixture) migrated(t *testing.T, ctx context.Context, user string) {
	t.Helper()
	err := f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error { return store.MarkMigrated(ctx, tx, user, f.users.Clock()) })
	if err != nil {
		t.Fatal(err)
	}
}

// A user of two sources: each is asked, and one without a verdict does not keep the
// other from accepting.
func TestHookOfTwoSources(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	first, second := newConsole(t, map[string]string{"1": "first"}), newConsole(t, map[string]string{"2": "second"})
	put(t, ctx, m, first.URL, false, false)
	if _, err := m.PutSource(ctx, &identityv1.PutSourceRequest{Name: "shop", CheckerUrl: second.URL, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	ada := bring(t, ctx, m, person("1", "ada@example.com"))[0].GetUser()
	answer, err := m.ImportUsers(ctx, &identityv1.ImportUsersRequest{
		Source: "shop", Users: []*identityv1.ImportedUser{person("2", "ada@example.com")}, IdempotencyKey: key(),
	})
	if err != nil || answer.GetResults()[0].GetOutcome() != linked {
		t.Fatal(answer, err)
	}
	hook := &legacy.Hook{DB: f.db, Blind: f.blind, Checker: legacy.New(legacy.Options{})}
	for _, tc := range []struct {
		password    string
		broken      bool
		want        string
		unavailable bool
	}{
		{"first", false, "console", false},
		{"second", false, "shop", false},
		{"third", false, "", false},
		{"second", true, "shop", false},
		{"third", true, "", true},
	} {
		first.broken = tc.broken
		got, err := hook.Verify(ctx, ada, "ada@example.com", secret.NewString(tc.password))
		if got != tc.want || fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) != tc.unavailable {
			t.Errorf("%+v: %q, %v", tc, got, err)
		}
	}
}

// A user who came without a password signs in with the one that the source knows,
// which is the user's here from then on.
func TestSignInAsksTheSource(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	m := d.migration(t)
	system := newConsole(t, map[string]string{"4711": goodText})
	put(t, ctx, m, system.URL, false, false)
	user := bring(t, ctx, m, person("4711", ada))[0].GetUser()
	b := d.browser(ctx, "203.0.113.7")

	must(t, b.start(signIn, ada))
	wants(t, b.prove(text("another horse")), commonv1.Reason_AUTHENTICATION_REJECTED)
	system.broken = true
	for range 4 { // no verdict is no guess: none of them is counted, and the checker is not paused yet
		wants(t, b.prove(text(goodText)), commonv1.Reason_SERVICE_UNAVAILABLE)
	}
	system.broken = false
	must(t, b.prove(text(goodText)))
	b.result(t, user, "aal1", "pwd")
	d.wantSource(t, ctx, m, &identityv1.Source{Name: "console", CheckerUrl: system.URL, Users: 1, Migrated: 1})
	events, err := d.log.Read(ctx, d.db.Pool(), user, 3, 10)
	must(t, err)
	last, err := events[len(events)-1].Message()
	must(t, err)
	if set, ok := last.(*eventv1.PasswordSet); !ok || set.GetOrigin() != "console" || set.GetAlgorithm() != "argon2id" || len(events) != 1 {
		t.Errorf("%d events after the link, the last is %v", len(events), last)
	}
	asked := system.asked
	must(t, b.start(signIn, ada))
	wants(t, b.prove(text("another horse")), commonv1.Reason_AUTHENTICATION_REJECTED)
	must(t, b.prove(text(goodText)))
	if system.asked != asked {
		t.Error("a source was asked for a user who is migrated")
	}
	d.verify(t, user)
}

func TestSignInsAtOnceMigrateOnce(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	m := d.migration(t)
	system := newConsole(t, map[string]string{"4711": goodText})
	put(t, ctx, m, system.URL, false, false)
	user := bring(t, ctx, m, person("4711", ada))[0].GetUser()
	var group sync.WaitGroup
	for i := range 4 {
		b := d.browser(ctx, fmt.Sprintf("203.0.%d.7", 110+i))
		must(t, b.start(signIn, ada))
		group.Go(func() {
			if err := b.prove(text(goodText)); err != nil {
				t.Errorf("sign-in %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if head, err := d.log.Head(ctx, d.db.Pool(), user); err != nil || head.Sequence != 3 {
		t.Errorf("%d events, %v; want the user, the link and one password", head.Sequence, err)
	}
	d.verify(t, user)
}

// A hash that came along is enough, and is made anew.
func TestSignInWithAnImportedHash(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	m := d.migration(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(goodText), bcrypt.MinCost)
	must(t, err)
	u := person("4711", ada)
	u.PasswordHash = string(hash)
	user := bring(t, ctx, m, u)[0].GetUser()
	b := d.browser(ctx, "203.0.113.7")
	for range 2 {
		must(t, b.start(signIn, ada))
		must(t, b.prove(text(goodText)))
		b.result(t, user, "aal1", "pwd")
	}
	if rows := d.passwords(t, user); len(rows) != 1 || !strings.HasPrefix(rows[0].Hash, "$argon2id$") {
		t.Errorf("the hash was not made anew: %+v", rows)
	}
	d.verify(t, user)
}

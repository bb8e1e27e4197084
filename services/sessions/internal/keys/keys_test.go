package keys_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/signingkey"
	"github.com/meridian-iam/meridian/services/sessions/internal/keys"
	"github.com/meridian-iam/meridian/services/sessions/internal/kms"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// fixture is a database with regions that share it.
type fixture struct {
	db   *sqldb.DB
	log  *eventlog.Store
	wrap kms.Local
	at   time.Time
	mu   sync.Mutex
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	key, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{db: sqltest.New(t), wrap: kms.Local{AEAD: key}, at: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: "eu", Clock: f.clock})
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fixture) ring(region string) *keys.Ring {
	return keys.New(keys.Options{
		DB: f.db, Log: f.log, Region: region, PlatformRegion: "eu", Wrapper: f.wrap, Clock: f.clock, Logger: slog.New(slog.DiscardHandler),
	})
}

func look(t *testing.T, r *keys.Ring) {
	t.Helper()
	for range 2 { // what is to be made is made by the next look
		if err := r.Advance(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) rows(t *testing.T, region string) map[signingkey.Status][]string {
	t.Helper()
	rows, err := store.ListSigningKeys(t.Context(), f.db.Pool())
	if err != nil {
		t.Fatal(err)
	}
	out := map[signingkey.Status][]string{}
	for _, row := range rows {
		if row.Region == region && row.Algorithm == "ES256" {
			out[row.Status] = append(out[row.Status], row.KID)
		}
		if signs := row.Status == signingkey.Initial || row.Status == signingkey.Active; signs != (row.Private != nil) {
			t.Errorf("key in state %v: private half kept: %v", row.Status, row.Private != nil)
		}
	}
	return out
}

// verify signs with one ring and verifies with what another publishes.
func verify(t *testing.T, by, with *keys.Ring) {
	t.Helper()
	token, err := by.Sign(jose.ES256, "at+jwt", map[string]string{"sub": "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.Verify(token, with.Public(), jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256}}); err != nil {
		t.Errorf("a fresh token is refused: %v", err)
	}
}

func TestLife(t *testing.T) {
	f := newFixture(t)
	eu, us := f.ring("eu"), f.ring("us")
	if err := eu.Ready(); err == nil {
		t.Error("ready without keys")
	}
	look(t, eu)
	if err := eu.Ready(); err != nil {
		t.Fatal(err)
	}
	look(t, us)
	look(t, eu)
	verify(t, eu, us)
	verify(t, us, eu)
	first := f.rows(t, "eu")[signingkey.Active][0]
	old, err := eu.Sign(jose.ES256, "at+jwt", map[string]string{"sub": "ada"})
	if err != nil || jose.KeyID(old) != first || !strings.HasPrefix(first, "eu.") {
		t.Fatalf("signed by %q, %v; want %q", jose.KeyID(old), err, first)
	}

	policy := signingkey.Standard()
	f.advance(policy.Life - policy.Publish)
	look(t, eu)
	waiting := f.rows(t, "eu")[signingkey.Initial]
	if len(waiting) != 1 || !strings.Contains(string(eu.Set()), waiting[0]) {
		t.Fatalf("the next key is not published before it signs: %v", f.rows(t, "eu"))
	}
	if token, err := eu.Sign(jose.ES256, "at+jwt", nil); err != nil || jose.KeyID(token) != first {
		t.Fatalf("signed by %q, %v: the next one signs before its time", jose.KeyID(token), err)
	}

	f.advance(policy.Publish)
	look(t, eu)
	verify(t, eu, eu)
	if _, err := jose.Verify(old, eu.Public(), jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256}}); err != nil {
		t.Errorf("what the key before signed is refused: %v", err)
	}

	f.advance(policy.Keep)
	look(t, eu)
	if _, err := jose.Verify(old, eu.Public(), jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256}}); err == nil {
		t.Error("a key verifies after its time")
	}
	if _, err := jose.Verify(old, eu.Remembered(), jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256}}); err != nil {
		t.Errorf("hints that the key signed are not known any more: %v", err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(eu.Set(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if _, there := k[private]; there {
				t.Errorf("the key set has a private half: %v", k["kid"])
			}
		}
	}
	f.folds(t)
}

// folds compares the rows with the log.
func (f *fixture) folds(t *testing.T) {
	t.Helper()
	folding := store.Fold{}.Start(id.Platform)
	events, err := f.log.Read(t.Context(), f.db.Pool(), id.Platform, 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := folding.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if difference, err := folding.Compare(t.Context(), f.db.Pool()); err != nil || difference != "" {
		t.Errorf("log verify: %q, %v", difference, err)
	}
}

// TestOneRotator: of many processes that see at once that a key is due, one makes it.
func TestOneRotator(t *testing.T) {
	f := newFixture(t)
	var group sync.WaitGroup
	for range 4 {
		r := f.ring("eu")
		group.Go(func() {
			for range 3 {
				if err := r.Advance(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if rows := f.rows(t, "eu"); len(rows[signingkey.Active]) != 1 || len(rows) != 1 {
		t.Errorf("keys by state: %v", rows)
	}
	f.folds(t)
}

func TestEmergency(t *testing.T) {
	f := newFixture(t)
	r := f.ring("eu")
	look(t, r)
	stolen, err := r.Sign(jose.ES256, "at+jwt", map[string]string{"sub": "ada"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := jose.Generate(jose.ES256, "eu")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.log.Commit(t.Context(), eventlog.Request{Log: id.Platform}, f.change(t, r, made))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	verify(t, r, r)
	for name, with := range map[string]jose.Keys{"public": r.Public(), "remembered": r.Remembered()} {
		if _, err := jose.Verify(stolen, with, jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256}}); err == nil {
			t.Errorf("%s keys still take what the stolen key signed", name)
		}
	}
	f.folds(t)
}

func TestWrappedUnderItsOwnID(t *testing.T) {
	f := newFixture(t)
	wrapped, err := f.wrap.Wrap("eu.1", []byte("private"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.wrap.Unwrap("eu.2", wrapped); err == nil {
		t.Error("a wrapped key is opened under another id")
	}
	if plain, err := f.wrap.Unwrap("eu.1", wrapped); err != nil || string(plain) != "private" {
		t.Errorf("Unwrap = %q, %v", plain, err)
	}
}

var operator = &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "ada"}

// work is what a commit does.
type work = func(ctx context.Context, tx pgx.Tx) error

func (f *fixture) change(t *testing.T, r *keys.Ring, made *jose.Private) work {
	t.Helper()
	return func(ctx context.Context, tx pgx.Tx) error {
		_, _, err := r.Change(ctx, tx, made, jose.ES256, operator, func(k []signingkey.State, m signingkey.Made, at time.Time) ([]proto.Message, error) {
			return signingkey.Rotate{Policy: r.Policy, Made: m, Emergency: true, At: at}.Decide(k)
		})
		return err
	}
}

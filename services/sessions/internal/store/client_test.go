package store

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

const region = "eu-west"

func settings(name string) *eventv1.ClientSettings {
	return &eventv1.ClientSettings{
		Name: name + " \"ä\"", Authentication: 2, GrantTypes: []int32{1, 2}, RedirectUris: []string{"https://app.example/callback?a=%22b%22"},
		Scopes: []string{"openid", "a\\b"}, RefreshGraceSeconds: proto.Uint32(0),
		BackchannelLogoutUri: "https://app.example/logout?a=%22b%22", BackchannelLogoutSessionRequired: true,
	}
}

// history changes the clients of one owner at random, as commands would.
type history struct {
	random  *rand.Rand
	owner   string
	now     time.Time
	clients []string
	fold    *clientFold
	refused int
}

func (h *history) commit(t *testing.T, db *sqldb.DB, c *Client, decide func(client.State) ([]proto.Message, error)) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if c.ID != "" {
			read, err := FindClientOf(ctx, tx, h.owner, c.ID)
			if err != nil {
				return err
			}
			*c = read
		}
		events, err := decide(c.State)
		if err != nil {
			h.refused++
			return nil //nolint:nilerr // a refusal changes nothing, which is looked at
		}
		if err := ChangeClient(ctx, tx, c, ClientChange{Events: events, At: h.now, HomeRegion: region}); err != nil {
			return err
		}
		for _, e := range events {
			if !h.fold.apply(e) {
				t.Errorf("%T is not known", e)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// step is one command. What it leaves in the rows is what a read finds.
func (h *history) step(t *testing.T, db *sqldb.DB) {
	t.Helper()
	h.now = h.now.Add(time.Duration(h.random.IntN(3600)) * time.Second)
	if len(h.clients) == 0 || h.random.IntN(8) == 0 {
		create := client.Create{ID: id.New(id.Client), Organization: h.owner, Settings: settings("new"), Secret: id.New(id.ClientSecret)}
		h.clients = append(h.clients, create.ID)
		h.commit(t, db, &Client{}, func(client.State) ([]proto.Message, error) { return create.Decide() })
		return
	}
	at := h.random.IntN(len(h.clients))
	c := Client{State: client.State{ID: h.clients[at]}}
	gone := false
	h.commit(t, db, &c, func(s client.State) ([]proto.Message, error) {
		switch h.random.IntN(10) {
		case 0:
			gone = true
			return client.Delete{}.Decide(s)
		case 1, 2:
			disabled := h.random.IntN(2) == 0
			return client.Update{Disabled: &disabled}.Decide(s)
		case 3:
			changed := settings("changed")
			if h.random.IntN(3) == 0 {
				changed.Authentication = 1
			}
			return client.Update{Settings: changed}.Decide(s)
		case 4, 5:
			secrets := append(s.Live(h.now), "crs_absent")
			return client.RevokeSecret{ID: secrets[h.random.IntN(len(secrets))]}.Decide(s)
		default:
			return client.AddSecret{
				ID: id.New(id.ClientSecret), At: h.now, EndOthers: h.now.Add(time.Duration(h.random.IntN(7200)+1) * time.Second),
			}.Decide(s)
		}
	})
	if gone {
		h.clients = append(h.clients[:at], h.clients[at+1:]...)
		return
	}
	read, err := FindClient(t.Context(), db.Pool(), c.ID)
	if err != nil || !read.Equal(c.State) || len(read.Stored) != len(c.Stored) || len(c.Stored) != len(c.Secrets) {
		t.Fatalf("read %+v, %v; changed to %+v", read, err, c)
	}
}

// The rows are the fold of the events, whatever happened.
func TestRandomHistory(t *testing.T) {
	t.Parallel()
	db := sqltest.New(t)
	refused := 0
	for seed := range uint64(4) {
		owner := ""
		if seed > 0 {
			owner = id.New(id.Organization)
		}
		h := &history{
			random: rand.New(rand.NewPCG(seed, 1)),
			owner:  owner, now: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC), fold: newClientFold(owner),
		}
		for range 120 {
			h.step(t, db)
		}
		if difference, err := h.fold.compare(t.Context(), db.Pool()); err != nil || difference != "" {
			t.Errorf("seed %d: %s, %v", seed, difference, err)
		}
		refused += h.refused
		if len(h.clients) == 0 {
			t.Fatalf("seed %d left no client to look at", seed)
		}
		_, err := db.Pool().Exec(t.Context(), `UPDATE sessions.clients SET disabled = NOT disabled WHERE client_id = $1`, h.clients[0])
		if difference, _ := h.fold.compare(t.Context(), db.Pool()); err != nil || difference == "" {
			t.Errorf("seed %d: a row that no event explains is not seen: %v", seed, err)
		}
	}
	if refused == 0 {
		t.Error("no command was refused: too tame")
	}
}

func TestFoldSeesWhatIsMissing(t *testing.T) {
	t.Parallel()
	db, owner := sqltest.New(t), id.New(id.Organization)
	f := newClientFold(owner)
	f.apply(&eventv1.ClientCreated{Client: "cli_1", Organization: owner, Settings: settings("app")})
	if difference, err := f.compare(t.Context(), db.Pool()); err != nil || difference == "" {
		t.Errorf("a row is missing: %q, %v", difference, err)
	}
	if f.apply(&eventv1.GrantRevoked{}) || !f.apply(&eventv1.ClientTokenRevoked{Client: "cli_1"}) {
		t.Error("the fold knows the events of clients, and no others")
	}
}

// A client that another's id names is absent.
func TestFindClientOf(t *testing.T) {
	t.Parallel()
	db := sqltest.New(t)
	org, other := id.New(id.Organization), id.New(id.Organization)
	c := Client{}
	err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		c = Client{}
		return ChangeClient(ctx, tx, &c, ClientChange{Events: []proto.Message{
			&eventv1.ClientCreated{Client: id.New(id.Client), Organization: org, Settings: settings("app")},
		}, HomeRegion: region})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		owner, id string
		found     bool
	}{
		"its own":      {org, c.ID, true},
		"another's":    {other, c.ID, false},
		"the platform": {"", c.ID, false},
		"absent":       {org, id.New(id.Client), false},
	} {
		_, err := FindClientOf(t.Context(), db.Pool(), tc.owner, tc.id)
		if tc.found != (err == nil) || !tc.found && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := CountClients(t.Context(), db.Pool(), other); err != nil || n != 0 {
		t.Errorf("another has %d clients, %v", n, err)
	}
}

func TestUse(t *testing.T) {
	t.Parallel()
	db := sqltest.New(t)
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	hash := sha256.Sum256([]byte("assertion"))
	var wait sync.WaitGroup
	var firsts atomic.Int32
	for range 8 {
		wait.Go(func() {
			first, err := Use(t.Context(), db.Pool(), hash, region, at.Add(time.Minute))
			if err != nil {
				t.Error(err)
			}
			if first {
				firsts.Add(1)
			}
		})
	}
	wait.Wait()
	if firsts.Load() != 1 {
		t.Errorf("%d were the first", firsts.Load())
	}
	for i := range 3 {
		if _, err := Use(t.Context(), db.Pool(), sha256.Sum256([]byte{byte(i)}), region, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int64{2, 1, 0} {
		if n, _, err := Sweep(t.Context(), db, at, 2); err != nil || n != want {
			t.Errorf("swept %d, %v; want %d", n, err, want)
		}
	}
	if first, err := Use(t.Context(), db.Pool(), hash, region, at); err != nil || first {
		t.Errorf("what has not expired was forgotten: %v, %v", first, err)
	}
}

// Package keys keeps the keys that tokens are signed with: this region's own, which it
// makes and changes in their time, and the public ones of all regions.
package keys

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/signingkey"
	"github.com/meridian-iam/meridian/services/sessions/internal/kms"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// every is how often the rows are looked at: what another region publishes, or revokes,
// counts here after that.
const every = 10 * time.Second

// Algorithms are those that each region has a key for.
func Algorithms() []jose.Algorithm { return []jose.Algorithm{jose.ES256, jose.EdDSA, jose.RS256} }

// Options are what a ring needs.
type Options struct {
	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is whose keys sign here. PlatformRegion is the home of the platform's log.
	Region, PlatformRegion string
	Wrapper                kms.Wrapper
	Policy                 signingkey.Policy // zero: the standard one
	Clock                  func() time.Time
	Logger                 *slog.Logger
}

// Ring is the keys. It is safe for concurrent use.
type Ring struct {
	Options

	now atomic.Pointer[snapshot]
	// mu is held while the rows are loaded; opened are private keys by kid.
	mu     sync.Mutex
	opened map[string]*jose.Private
}

// snapshot is what the rows said.
type snapshot struct {
	signing            map[jose.Algorithm]*jose.Private
	public, remembered jose.Keys
	set                []byte
}

// New returns a ring without keys: Run, or Advance, loads and makes them.
func New(o Options) *Ring {
	if o.Policy == (signingkey.Policy{}) {
		o.Policy = signingkey.Standard()
	}
	r := &Ring{Options: o, opened: map[string]*jose.Private{}}
	r.now.Store(&snapshot{set: []byte(`{"keys":[]}`)})
	return r
}

// Sign makes a compact JWS with the key of this region that signs now.
//
// Errors: unavailable while there is none.
func (r *Ring) Sign(algorithm jose.Algorithm, typ string, claims any) (string, error) {
	key := r.now.Load().signing[algorithm]
	if key == nil {
		return "", none()
	}
	return key.Sign(typ, claims)
}

func none() *fault.Fault {
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "there is no key to sign with yet").Retry(time.Second)
}

// Public are the keys of all regions whose signatures are taken.
func (r *Ring) Public() jose.Keys { return r.now.Load().public }

// Remembered are also keys whose time was over before: for hints of who logs out.
func (r *Ring) Remembered() jose.Keys { return r.now.Load().remembered }

// Set is the JWK Set of Public.
func (r *Ring) Set() []byte { return r.now.Load().set }

// Ready says whether tokens can be signed.
func (r *Ring) Ready() error {
	for _, algorithm := range Algorithms() {
		if r.now.Load().signing[algorithm] == nil {
			return none()
		}
	}
	return nil
}

// Run keeps the keys until ctx ends. A database that is away changes nothing.
func (r *Ring) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := r.Advance(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "signing keys not looked after", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Advance does what is due, and loads the keys. Several processes may do it at once.
func (r *Ring) Advance(ctx context.Context) error {
	if err := r.Load(ctx); err != nil {
		return err
	}
	changed := false
	for _, algorithm := range Algorithms() {
		did, err := r.advance(ctx, algorithm)
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if !changed {
		return nil
	}
	return r.Load(ctx)
}

// advance does what is due for the keys of one algorithm. Most times that is nothing,
// which is seen without a transaction.
func (r *Ring) advance(ctx context.Context, algorithm jose.Algorithm) (changed bool, err error) {
	rows, err := store.ListSigningKeys(ctx, r.DB.Pool())
	if err != nil {
		return false, err
	}
	plan := signingkey.Next(own(rows, r.Region, algorithm), r.Policy, r.Clock())
	if !plan.Make.Due && plan.Activate == "" && len(plan.Deactivate) == 0 && len(plan.Delete) == 0 {
		return false, nil
	}
	var made *jose.Private
	if plan.Make.Due {
		if made, err = jose.Generate(algorithm, r.Region); err != nil { // it may take a second
			return false, err
		}
	}
	_, err = r.Log.Commit(ctx, eventlog.Request{Log: id.Platform}, func(ctx context.Context, tx pgx.Tx) error {
		_, _, err := r.Change(ctx, tx, made, algorithm, &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "sessions"},
			func(keys []signingkey.State, m signingkey.Made, at time.Time) ([]proto.Message, error) {
				if m.KID == "" && signingkey.Next(keys, r.Policy, at).Make.Due {
					return nil, nil // the next look makes one
				}
				return signingkey.Advance{Policy: r.Policy, Made: m, At: at}.Decide(keys), nil
			})
		return err
	})
	return err == nil, err
}

// Change decides about the keys of this region and algorithm under the lock of the
// platform's log, and writes what was decided. made is the key to take where one is
// made, or nil. The key that was made is returned; nil: none was.
func (r *Ring) Change(
	ctx context.Context, tx pgx.Tx, made *jose.Private, algorithm jose.Algorithm, actor *logv1.Actor,
	decide func(keys []signingkey.State, made signingkey.Made, at time.Time) ([]proto.Message, error),
) (*store.SigningKey, revision.Revision, error) {
	head, err := r.Log.Lock(ctx, tx, id.Platform)
	if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return nil, revision.Revision{}, err
	}
	rev := revision.Revision{Log: id.Platform, Sequence: head.Sequence}
	rows, err := store.ListSigningKeys(ctx, tx)
	if err != nil {
		return nil, rev, err
	}
	at := r.Clock().UTC().Truncate(time.Microsecond)
	described, private, err := r.describe(made)
	if err != nil {
		return nil, rev, err
	}
	events, err := decide(own(rows, r.Region, algorithm), described, at)
	if err != nil || len(events) == 0 {
		return nil, rev, err
	}
	added, err := write(ctx, tx, rows, events, store.SigningKey{Private: private, CreatedAt: at}, at)
	if err != nil {
		return nil, rev, err
	}
	rev, err = r.Log.Append(ctx, tx, eventlog.Append{
		Log: id.Platform, Expected: head.Sequence, HomeRegion: r.PlatformRegion, Actor: actor, Events: events,
	})
	return added, rev, err
}

// describe is what is recorded of a key, and what is stored of it.
func (r *Ring) describe(made *jose.Private) (signingkey.Made, []byte, error) {
	if made == nil {
		return signingkey.Made{}, nil, nil
	}
	public, err := made.Public()
	if err != nil {
		return signingkey.Made{}, nil, err
	}
	plain, err := made.Marshal()
	if err != nil {
		return signingkey.Made{}, nil, err
	}
	wrapped, err := r.Wrapper.Wrap(made.ID(), plain)
	return signingkey.Made{KID: made.ID(), Region: r.Region, Algorithm: string(made.Algorithm()), PublicJWK: public}, wrapped, err
}

// write brings the rows to where the events lead, and returns the row that is new.
func write(
	ctx context.Context, tx pgx.Tx, rows []store.SigningKey, events []proto.Message, fresh store.SigningKey, at time.Time,
) (added *store.SigningKey, err error) {
	fresh.Apply(events[0])
	if fresh.KID != "" {
		rows = append(rows, fresh)
	}
	for i := range rows {
		row := &rows[i]
		before := row.State
		for _, e := range events {
			row.Apply(e)
		}
		isNew := row.KID == fresh.KID && fresh.KID != ""
		if row.State == before && !isNew {
			continue
		}
		if row.Status == signingkey.Inactive || row.Status == signingkey.Deleted {
			row.Private = nil
			if row.InactiveAt.IsZero() {
				row.InactiveAt = at
			}
		}
		if err := store.PutSigningKey(ctx, tx, *row); err != nil {
			return nil, err
		}
		if isNew {
			added = row
		}
	}
	return added, nil
}

// own are the keys of a region and algorithm.
func own(rows []store.SigningKey, region string, algorithm jose.Algorithm) []signingkey.State {
	var out []signingkey.State
	for _, row := range rows {
		if row.Region == region && row.Algorithm == string(algorithm) {
			out = append(out, row.State)
		}
	}
	return out
}

// Load reads the keys. One that cannot be opened does not sign, and is still published.
func (r *Ring) Load(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows, err := store.ListSigningKeys(ctx, r.DB.Pool())
	if err != nil {
		return err
	}
	next := &snapshot{signing: map[jose.Algorithm]*jose.Private{}}
	var published []string
	for _, row := range rows {
		if row.Status == signingkey.Deleted && row.Emergency {
			continue
		}
		keys, err := jose.ParseKeys("keys", `{"keys":[`+row.PublicJWK+`]}`)
		if err != nil {
			return err
		}
		next.remembered = jose.Join(next.remembered, keys)
		if row.Status == signingkey.Deleted {
			continue
		}
		next.public, published = jose.Join(next.public, keys), append(published, row.PublicJWK)
		if row.Status == signingkey.Active && row.Region == r.Region {
			r.sign(ctx, next, row)
		}
	}
	if next.set, err = json.Marshal(struct {
		Keys []json.RawMessage `json:"keys"`
	}{raw(published)}); err != nil {
		return err
	}
	r.now.Store(next)
	return nil
}

func raw(texts []string) []json.RawMessage {
	out := make([]json.RawMessage, 0, len(texts))
	for _, text := range slices.Backward(texts) { // the newest first
		out = append(out, json.RawMessage(text))
	}
	return out
}

// sign takes a key to sign with.
func (r *Ring) sign(ctx context.Context, s *snapshot, row store.SigningKey) {
	key := r.opened[row.KID]
	if key == nil {
		plain, err := r.Wrapper.Unwrap(row.KID, row.Private)
		if err == nil {
			key, err = jose.ParsePrivate(row.KID, jose.Algorithm(row.Algorithm), plain)
		}
		if err != nil {
			r.Logger.ErrorContext(ctx, "a signing key cannot be opened: is keys.regional_file another one?", slog.String("kid", row.KID), slog.Any("error", err))
			return
		}
		r.opened[row.KID] = key
	}
	s.signing[jose.Algorithm(row.Algorithm)] = key
}

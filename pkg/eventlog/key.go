package eventlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// selectKeys reads wrapped keys by the primary key.
const selectKeys = `SELECT user_id, wrapped, home_region FROM log.user_keys WHERE user_id = ANY($1)`

const insertKey = `INSERT INTO log.user_keys (user_id, home_region, wrapped, created_at)
VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) DO NOTHING`

const destroyKey = `INSERT INTO log.user_keys (user_id, home_region, wrapped, created_at, destroyed_at)
VALUES ($1, $2, NULL, $3, $3)
ON CONFLICT (user_id) DO UPDATE SET wrapped = NULL,
  destroyed_at = COALESCE(log.user_keys.destroyed_at, excluded.destroyed_at)`

// userKey is a wrapped key, and the region whose regional key wraps it. nil bytes:
// the user is erased.
type userKey struct {
	wrapped []byte
	region  string
}

type userKeys map[string]userKey

// readKeys reads the wrapped keys of users; users without a key are absent.
func readKeys(rows pgx.Rows) (userKeys, error) {
	keys := userKeys{}
	var user string
	var k userKey
	_, err := pgx.ForEachRow(rows, []any{&user, &k.wrapped, &k.region}, func() error {
		keys[user] = k
		k = userKey{}
		return nil
	})
	return keys, err
}

// unwrap opens a key that this region's regional key wraps.
//
// Errors: KEY_ELSEWHERE when another region's does.
func (s *Store) unwrap(user string, k userKey) (tink.AEAD, error) {
	key, err := s.vault.unwrap(user, k.wrapped)
	if err != nil && k.region != s.region {
		return nil, elsewhere(user, k.region).Because(err)
	}
	return key, err
}

// elsewhere is the answer to what needs the regional key of another region.
func elsewhere(user, region string) *fault.Fault {
	return fault.New(fault.Unavailable, commonv1.Reason_KEY_ELSEWHERE,
		"the personal data of the user is sealed and opened in the user's home region only, which did not do this").
		With("user", user).With("region", region).Retry(retryElsewhere)
}

// retryElsewhere is when the home region may be back.
const retryElsewhere = 5 * time.Second

// openKeys unwraps the keys that drafts need and makes those that do not exist,
// in the append's transaction.
//
// Errors: USER_ERASED when a user's key was destroyed; KEY_ELSEWHERE when it is, or
// would be, another region's to open.
func (s *Store) openKeys(
	ctx context.Context, tx pgx.Tx, region string, users []string, found userKeys, at time.Time,
) (map[string]tink.AEAD, error) {
	keys := make(map[string]tink.AEAD, len(users))
	for _, user := range users {
		k, exists := found[user]
		var err error
		switch {
		case !exists && region != s.region:
			err = elsewhere(user, region)
		case !exists:
			keys[user], err = s.createKey(ctx, tx, user, at)
		case k.wrapped == nil:
			err = erased(user)
		default:
			keys[user], err = s.unwrap(user, k)
		}
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func erased(user string) error {
	return fault.New(fault.Precondition, commonv1.Reason_USER_ERASED, "the user was erased").With("user", user)
}

// createKey makes a user's key, wrapped by this region's. When another transaction
// made it in between, the database fails this one, or shows the other's key, which
// then is used.
func (s *Store) createKey(ctx context.Context, tx pgx.Tx, user string, at time.Time) (tink.AEAD, error) {
	key, wrapped, err := s.vault.newKey(user)
	if err != nil {
		return nil, err
	}
	tag, err := tx.Exec(ctx, insertKey, user, s.region, wrapped, at)
	if err != nil {
		return nil, fmt.Errorf("insert user key: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return key, nil
	}
	rows, err := tx.Query(ctx, selectKeys, []string{user})
	if err != nil {
		return nil, fmt.Errorf("read user key: %w", err)
	}
	found, err := readKeys(rows)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read user key: %w", err)
	case found[user].wrapped == nil:
		return nil, erased(user)
	}
	return s.unwrap(user, found[user])
}

// seal encrypts the personal data of an event.
func seal(d draft, keys map[string]tink.AEAD, log string, sequence uint64) ([]*logv1.Sealed, error) {
	var sealed []*logv1.Sealed
	for _, p := range d.sealed {
		ciphertext, err := keys[p.user].Encrypt(p.plain, binding(log, sequence, d.kind, p.user))
		if err != nil {
			return nil, fmt.Errorf("seal personal data: %w", err)
		}
		sealed = append(sealed, &logv1.Sealed{User: p.user, Ciphertext: ciphertext})
	}
	return sealed, nil
}

// Open decodes an event and fills its personal fields. The fields of users who
// were erased stay empty. q may be a transaction or the pool.
//
// Errors: EVENT_CORRUPT for an unknown type, or when sealed data cannot be
// opened though its user is not erased; KEY_ELSEWHERE when only another region
// can open it; DATABASE_UNAVAILABLE.
func (s *Store) Open(ctx context.Context, q sqldb.Querier, r Recorded) (proto.Message, error) {
	opened, err := s.OpenAll(ctx, q, []Recorded{r})
	if err != nil {
		return nil, err
	}
	return opened[0], nil
}

// OpenAll is Open for many events, with one query for all their keys.
func (s *Store) OpenAll(ctx context.Context, q sqldb.Querier, events []Recorded) ([]proto.Message, error) {
	keys, err := s.keysOf(ctx, q, events)
	if err != nil {
		return nil, err
	}
	opened := make([]proto.Message, len(events))
	for i, r := range events {
		if opened[i], err = r.MessageOf(s.types); err != nil {
			return nil, err
		}
		for _, sealed := range r.Envelope.GetSealed() {
			key, exists := keys[sealed.GetUser()]
			if exists && key == nil {
				continue // erased
			}
			if err := unseal(r, opened[i], sealed, key); err != nil {
				return nil, err
			}
		}
	}
	return opened, nil
}

// keysOf unwraps the keys of all users in events. An erased user has a nil key;
// a user who never had one is absent.
func (s *Store) keysOf(ctx context.Context, q sqldb.Querier, events []Recorded) (map[string]tink.AEAD, error) {
	users := map[string]struct{}{}
	for _, r := range events {
		for _, sealed := range r.Envelope.GetSealed() {
			users[sealed.GetUser()] = struct{}{}
		}
	}
	if len(users) == 0 {
		return map[string]tink.AEAD{}, nil
	}
	if s.vault == nil {
		return nil, defect("there is no vault to open personal data with")
	}
	rows, err := q.Query(ctx, selectKeys, slices.Sorted(maps.Keys(users)))
	if err != nil {
		return nil, failed(q, "read user keys", err)
	}
	found, err := readKeys(rows)
	if err != nil {
		return nil, failed(q, "read user keys", err)
	}
	keys := make(map[string]tink.AEAD, len(found))
	for user, k := range found {
		keys[user] = nil
		if k.wrapped == nil {
			continue
		}
		if keys[user], err = s.unwrap(user, k); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// unseal merges one user's personal data into the opened event.
func unseal(r Recorded, into proto.Message, sealed *logv1.Sealed, key tink.AEAD) error {
	e := r.Envelope
	broken := func(detail string, cause error) error {
		return corrupt(e.GetLog(), e.GetSequence(), detail).With("user", sealed.GetUser()).Because(cause)
	}
	if key == nil {
		return broken("the user's key is missing", errors.New("no row in user_keys"))
	}
	associated := binding(e.GetLog(), e.GetSequence(), e.GetType(), sealed.GetUser())
	plain, err := key.Decrypt(sealed.GetCiphertext(), associated)
	if err != nil {
		return broken("personal data cannot be opened", err)
	}
	options := proto.UnmarshalOptions{Merge: true, RecursionLimit: maxDepth}
	if err := options.Unmarshal(plain, into); err != nil {
		return broken("personal data is not a message of the event's type", nil)
	}
	return nil
}

// selectWrapped reads what Erase is about to destroy.
const selectWrapped = `SELECT wrapped FROM log.user_keys WHERE user_id = $1`

// Erase destroys a user's key: the personal data of that user is gone from
// every copy of every log, and later appends with personal data of the user
// fail with USER_ERASED. It returns the SHA-256 of the wrapped key that it
// destroyed, or nil when there was none. Erasing again changes nothing. It must
// be called inside a Write, in any region.
//
// The database itself may keep the old row version until it vacuums or its
// garbage collection window ends, and backups keep it as long as they live: the
// regional key protects it there.
//
// Errors: INVALID_FIELD when user is not the id of a user.
func (s *Store) Erase(ctx context.Context, tx pgx.Tx, user string) (digest []byte, err error) {
	if !id.Valid(id.User, user) {
		return nil, fault.Field("user", "user_id", "not the id of a user")
	}
	var wrapped []byte
	err = tx.QueryRow(ctx, selectWrapped, user).Scan(&wrapped)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read user key: %w", err)
	}
	if _, err := tx.Exec(ctx, destroyKey, user, s.region, s.now()); err != nil {
		return nil, fmt.Errorf("destroy user key: %w", err)
	}
	if wrapped == nil {
		return nil, nil
	}
	sum := sha256.Sum256(wrapped)
	return sum[:], nil
}

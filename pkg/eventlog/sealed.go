package eventlog

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Seal encrypts bytes of a row under the key of the user whose log was locked, for
// what belongs to a person and is in no event: once the user is erased, nobody
// opens it any more, in backups neither. It can be opened only as what purpose
// says, as "totp crd_…", and only for this user. It must be called inside a Write.
//
// Errors: USER_ERASED; KEY_ELSEWHERE outside of the user's home region; INVALID_FIELD
// for a log that is not a user's.
func (s *Store) Seal(ctx context.Context, tx pgx.Tx, user Head, purpose string, plain []byte) ([]byte, error) {
	if s.vault == nil {
		return nil, defect("there is no vault to seal with")
	}
	if !id.Valid(id.User, user.Log) {
		return nil, fault.Field("user", "user_id", "not the id of a user")
	}
	rows, err := tx.Query(ctx, selectKeys, []string{user.Log})
	if err != nil {
		return nil, fmt.Errorf("read user key: %w", err)
	}
	found, err := readKeys(rows)
	if err != nil {
		return nil, fmt.Errorf("read user key: %w", err)
	}
	keys, err := s.openKeys(ctx, tx, user.HomeRegion, []string{user.Log}, found, s.now())
	if err != nil {
		return nil, err
	}
	sealed, err := keys[user.Log].Encrypt(plain, rowBinding(purpose, user.Log))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Unseal opens what Seal made for a user and purpose. q may be a transaction or the
// pool.
//
// Errors: USER_ERASED; KEY_ELSEWHERE; DEFECT for bytes that were not sealed for
// this user and purpose; DATABASE_UNAVAILABLE.
func (s *Store) Unseal(ctx context.Context, q sqldb.Querier, user, purpose string, sealed []byte) ([]byte, error) {
	if s.vault == nil {
		return nil, defect("there is no vault to unseal with")
	}
	rows, err := q.Query(ctx, selectKeys, []string{user})
	if err != nil {
		return nil, failed(q, "read user key", err)
	}
	found, err := readKeys(rows)
	if err != nil {
		return nil, failed(q, "read user key", err)
	}
	k, exists := found[user]
	switch {
	case !exists:
		return nil, defect("the user has no key").With("user", user)
	case k.wrapped == nil:
		return nil, erased(user)
	}
	key, err := s.unwrap(user, k)
	if err != nil {
		return nil, err
	}
	plain, err := key.Decrypt(sealed, rowBinding(purpose, user))
	if err != nil {
		return nil, fault.New(fault.Internal, commonv1.Reason_DEFECT, "sealed bytes cannot be opened").With("user", user).Because(err)
	}
	return plain, nil
}

// rowBinding is the associated data of a row's ciphertext. It starts with an empty
// log, which no event's has.
func rowBinding(purpose, user string) []byte {
	b := binary.AppendUvarint(nil, 0)
	b = binary.AppendUvarint(b, uint64(len(purpose)))
	b = append(b, purpose...)
	b = binary.AppendUvarint(b, uint64(len(user)))
	return append(b, user...)
}

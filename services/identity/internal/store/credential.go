package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
)

// Credential is a row of identity.credentials, and of identity.passkeys where it is
// a passkey's.
type Credential struct {
	credential.State

	User       string
	HomeRegion string
	CreatedAt  time.Time
	LastUsedAt *time.Time
	// Hash is a password's, Former those of the ones before, the newest first.
	// Version grows whenever it changes.
	Hash    string
	Former  []string
	Version int64
	// Sealed is a TOTP's seed, LastStep the period that was let in last.
	Sealed   []byte
	LastStep int64
	// Codes are the hashes of recovery codes.
	Codes   [][]byte
	Passkey Passkey
}

// Passkey is what is kept of a passkey beside its credential.
type Passkey struct {
	RawID        []byte
	PublicKey    []byte
	Algorithm    int32
	SignCount    int64
	Transports   []string
	BackedUp     bool
	UserVerified bool
	Discoverable bool
	Trusted      bool
}

const credentialColumns = `c.user_id, c.credential_id, c.kind, c.name, c.home_region, c.created_at, c.last_used_at,
COALESCE(c.hash, ''), c.former, c.version, c.sealed, c.last_step, c.codes,
COALESCE(p.rp_id, ''), p.raw_id, p.public_key, COALESCE(p.algorithm, 0), p.aaguid, COALESCE(p.sign_count, 0), p.transports,
COALESCE(p.backup_eligible, false), COALESCE(p.backed_up, false), COALESCE(p.user_verified, false), COALESCE(p.discoverable, false),
COALESCE(p.attestation_format, ''), COALESCE(p.trusted, false), COALESCE(p.flagged, false)`

// ListCredentials reads a user's credentials by the primary key and the index
// passkeys_user, in the order in which they were made. There are few.
func ListCredentials(ctx context.Context, q sqldb.Querier, userID string) ([]Credential, error) {
	return credentials(q.Query(ctx, `SELECT `+credentialColumns+` FROM identity.credentials c
LEFT JOIN identity.passkeys p ON p.user_id = c.user_id AND p.credential_id = c.credential_id
WHERE c.user_id = $1 ORDER BY c.credential_id`, userID))
}

// FindPasskey reads the passkey that a browser named, by the primary key of
// passkeys.
//
// Errors: NOT_FOUND.
func FindPasskey(ctx context.Context, q sqldb.Querier, rpID string, rawID []byte) (Credential, error) {
	found, err := credentials(q.Query(ctx, `SELECT `+credentialColumns+` FROM identity.passkeys p
JOIN identity.credentials c ON c.user_id = p.user_id AND c.credential_id = p.credential_id
WHERE p.rp_id = $1 AND p.raw_id = $2`, rpID, rawID))
	switch {
	case err != nil:
		return Credential{}, err
	case len(found) == 0:
		return Credential{}, credential.NotFound()
	}
	return found[0], nil
}

func credentials(rows pgx.Rows, err error) ([]Credential, error) {
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Credential, error) { return scanCredential(row) })
	return found, sqldb.Unavailable(err)
}

func scanCredential(row pgx.Row) (Credential, error) {
	var (
		c    Credential
		p    = &c.Passkey
		kind int16
	)
	err := row.Scan(&c.User, &c.ID, &kind, &c.Name, &c.HomeRegion, &c.CreatedAt, &c.LastUsedAt,
		&c.Hash, &c.Former, &c.Version, &c.Sealed, &c.LastStep, &c.Codes,
		&c.RPID, &p.RawID, &p.PublicKey, &p.Algorithm, &c.AAGUID, &p.SignCount, &p.Transports,
		&c.BackupEligible, &p.BackedUp, &p.UserVerified, &p.Discoverable, &c.Format, &p.Trusted, &c.Flagged)
	c.Kind, c.Left = credential.Kind(kind), uint32(len(c.Codes))
	return c, err
}

// CredentialSet is what decisions are made on.
func CredentialSet(rows []Credential) credential.Set {
	s := make(credential.Set, len(rows))
	for _, c := range rows {
		s[c.ID] = c.State
	}
	return s
}

// InsertCredential writes a new credential. The user's log must be locked, here and
// below.
//
// Errors: ALREADY_EXISTS for a passkey that is registered, for whomever.
func InsertCredential(ctx context.Context, tx pgx.Tx, c Credential) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO identity.credentials (user_id, credential_id, kind, name, home_region, created_at, hash, sealed, last_step, codes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		c.User, c.ID, int16(c.Kind), c.Name, c.HomeRegion, c.CreatedAt, absent(c.Hash), c.Sealed, c.LastStep, c.Codes)
	if c.Kind == credential.Passkey {
		p := c.Passkey
		batch.Queue(`INSERT INTO identity.passkeys (rp_id, raw_id, credential_id, user_id, home_region, public_key, algorithm, aaguid, sign_count,
  transports, backup_eligible, backed_up, user_verified, discoverable, attestation_format, trusted, flagged)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, false)`,
			c.RPID, p.RawID, c.ID, c.User, c.HomeRegion, p.PublicKey, p.Algorithm, c.AAGUID, p.SignCount,
			some(p.Transports), c.BackupEligible, p.BackedUp, p.UserVerified, p.Discoverable, c.Format, p.Trusted)
	}
	err := tx.SendBatch(ctx, batch).Close()
	if constraint, taken := sqldb.UniqueViolation(err); taken && constraint == "passkeys_pkey" {
		return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the passkey is registered already").With("field", "response")
	}
	if err != nil {
		return fmt.Errorf("insert credential: %w", err)
	}
	return nil
}

func absent(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func some(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// RehashPassword gives a password another hash, if it is still of the version.
func RehashPassword(ctx context.Context, tx pgx.Tx, user, credentialID, hash string, version int64) error {
	return execute(ctx, tx, "rehash password", `UPDATE identity.credentials SET hash = $3
WHERE user_id = $1 AND credential_id = $2 AND version = $4`, user, credentialID, hash, version)
}

// SetPasswordHash gives a password another hash, and keeps those of former ones.
func SetPasswordHash(ctx context.Context, tx pgx.Tx, user, credentialID, hash string, former []string) error {
	return execute(ctx, tx, "set password", `UPDATE identity.credentials SET hash = $3, former = $4, version = version + 1
WHERE user_id = $1 AND credential_id = $2`, user, credentialID, hash, former)
}

// SetRecoveryCodes replaces the codes that are left.
func SetRecoveryCodes(ctx context.Context, tx pgx.Tx, user, credentialID string, codes [][]byte) error {
	return execute(ctx, tx, "set recovery codes", `UPDATE identity.credentials SET codes = $3 WHERE user_id = $1 AND credential_id = $2`,
		user, credentialID, codes)
}

// RenameCredential gives a credential another name.
func RenameCredential(ctx context.Context, tx pgx.Tx, user, credentialID, name string) error {
	return execute(ctx, tx, "rename credential", `UPDATE identity.credentials SET name = $3 WHERE user_id = $1 AND credential_id = $2`,
		user, credentialID, name)
}

// FlagPasskey marks a passkey as one to be refused.
func FlagPasskey(ctx context.Context, tx pgx.Tx, user, credentialID string) error {
	return execute(ctx, tx, "flag passkey", `UPDATE identity.passkeys SET flagged = true WHERE user_id = $1 AND credential_id = $2`,
		user, credentialID)
}

// DeleteCredential removes a credential.
func DeleteCredential(ctx context.Context, tx pgx.Tx, user, credentialID string) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM identity.passkeys WHERE user_id = $1 AND credential_id = $2`, user, credentialID)
	batch.Queue(`DELETE FROM identity.credentials WHERE user_id = $1 AND credential_id = $2`, user, credentialID)
	return closed(tx.SendBatch(ctx, batch).Close(), "delete credential")
}

// DeleteCredentials removes all that a user proves with: UserErased says so in the
// log. The authentications and ceremonies that are under way can no longer be
// finished.
func DeleteCredentials(ctx context.Context, tx pgx.Tx, user string) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM identity.passkeys WHERE user_id = $1`, user)
	batch.Queue(`DELETE FROM identity.credentials WHERE user_id = $1`, user)
	return closed(tx.SendBatch(ctx, batch).Close(), "delete credentials")
}

// NoteUse notes that credentials let their user in. It is no fact of the log, and in
// no transaction: in one it would make sign-ins conflict.
func NoteUse(ctx context.Context, q sqldb.Querier, user string, credentialIDs []string, at time.Time) error {
	_, err := q.Exec(ctx, `UPDATE identity.credentials SET last_used_at = $3 WHERE user_id = $1 AND credential_id = ANY($2)`,
		user, credentialIDs, at)
	return sqldb.Unavailable(err)
}

// UseTOTP lets a period of a TOTP in, and says whether it could: neither it nor a
// later one was before.
func UseTOTP(ctx context.Context, tx pgx.Tx, user, credentialID string, step int64) (bool, error) {
	tag, err := tx.Exec(ctx, `UPDATE identity.credentials SET last_step = $3 WHERE user_id = $1 AND credential_id = $2 AND last_step < $3`,
		user, credentialID, step)
	return tag.RowsAffected() == 1, closed(err, "use totp")
}

// UsePasskey counts a passkey up, and says whether it could: it is not flagged, and
// its counter rises, or stays at 0 where it does not count.
func UsePasskey(ctx context.Context, tx pgx.Tx, c Credential) (bool, error) {
	tag, err := tx.Exec(ctx, `UPDATE identity.passkeys SET sign_count = $3, backed_up = $4
WHERE user_id = $1 AND credential_id = $2 AND NOT flagged AND (sign_count < $3 OR sign_count = 0 AND $3 = 0)`,
		c.User, c.ID, c.Passkey.SignCount, c.Passkey.BackedUp)
	return tag.RowsAffected() == 1, closed(err, "use passkey")
}

func execute(ctx context.Context, tx pgx.Tx, operation, statement string, args ...any) error {
	_, err := tx.Exec(ctx, statement, args...)
	return closed(err, operation)
}

func closed(err error, operation string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

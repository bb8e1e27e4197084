package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
)

// User is a row of identity.users, and of identity.profiles where there is one.
type User struct {
	user.State

	CreatedAt time.Time
	// Memberships is how many organizations the user is in.
	Memberships int
}

// pageColumns are those that userColumns has of identity.users.
const pageColumns = `user_id, realm, state, email_verified, source, home_region, created_at, memberships`

const userColumns = `u.user_id, u.realm, u.state, u.email_verified, u.source, u.home_region, u.created_at, u.memberships,
COALESCE(p.email, ''), COALESCE(p.name, ''), COALESCE(p.locale, '')`

const selectUser = `SELECT ` + userColumns + ` FROM identity.users u
LEFT JOIN identity.profiles p ON p.user_id = u.user_id WHERE u.user_id = $1`

// InsertUser writes a new user, the profile, what the user is searched by and,
// unless blind is nil, the address. Memberships are those that the same transaction
// writes. It looks for nothing first: the primary key of
// user_emails says whether the address is taken.
//
// Errors: ALREADY_EXISTS (field "email").
func InsertUser(ctx context.Context, tx pgx.Tx, u User, blind []byte) error {
	batch := &pgx.Batch{}
	if blind != nil {
		queueEmail(batch, u, blind)
	}
	batch.Queue(`INSERT INTO identity.users (user_id, realm, state, email_verified, source, home_region, created_at, memberships)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		u.ID, u.Realm, int16(u.Status), u.EmailVerified, u.Source, u.HomeRegion, u.CreatedAt, u.Memberships)
	batch.Queue(`INSERT INTO identity.profiles (user_id, email, name, locale, home_region) VALUES ($1, $2, $3, $4, $5)`,
		u.ID, u.Email, u.Name, u.Locale, u.HomeRegion)
	queueWords(batch, u, []string{everybody}, words(u.Name))
	return emailTaken(tx.SendBatch(ctx, batch).Close(), "insert user")
}

// UpdateUser writes a user's new state and profile. before is the state that the
// rows have. blind is the address's, or nil when the address is the same.
//
// Errors: ALREADY_EXISTS (field "email").
func UpdateUser(ctx context.Context, tx pgx.Tx, before user.State, u User, blind []byte) error {
	batch := &pgx.Batch{}
	if blind != nil {
		batch.Queue(`DELETE FROM identity.user_emails WHERE user_id = $1`, u.ID)
		queueEmail(batch, u, blind)
	}
	queueUser(batch, u)
	batch.Queue(`UPDATE identity.profiles SET email = $2, name = $3, locale = $4 WHERE user_id = $1`, u.ID, u.Email, u.Name, u.Locale)
	if err := emailTaken(tx.SendBatch(ctx, batch).Close(), "update user"); err != nil {
		return err
	}
	if before.Name == u.Name {
		return nil
	}
	return changeWords(ctx, tx, u, words(before.Name))
}

// SetUserState writes a user's state without the profile.
func SetUserState(ctx context.Context, tx pgx.Tx, u User) error {
	batch := &pgx.Batch{}
	queueUser(batch, u)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return nil
}

func queueUser(batch *pgx.Batch, u User) {
	batch.Queue(`UPDATE identity.users SET state = $2, email_verified = $3 WHERE user_id = $1`, u.ID, int16(u.Status), u.EmailVerified)
}

func queueEmail(batch *pgx.Batch, u User, blind []byte) {
	batch.Queue(`INSERT INTO identity.user_emails (realm, blind, user_id, home_region) VALUES ($1, $2, $3, $4)`,
		u.Realm, blind, u.ID, u.HomeRegion)
}

func emailTaken(err error, operation string) error {
	if constraint, taken := sqldb.UniqueViolation(err); taken && constraint == "user_emails_pkey" {
		return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the address has a user already").With("field", "email")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

// countMembership adds to the number of a user's organizations. It finds the row as
// the conflict of an insert, which locks no page of an index (see package
// eventlog), and never inserts: the caller has locked the user's log.
const countMembership = `INSERT INTO identity.users AS u
  (user_id, realm, state, email_verified, source, home_region, created_at, memberships)
VALUES ($1, '', 0, false, '', '', 'epoch', 0)
ON CONFLICT (user_id) DO UPDATE SET memberships = u.memberships + $2
RETURNING u.user_id, u.realm, u.state, u.email_verified, u.source, u.home_region, u.created_at, u.memberships, '', '', ''`

// CountMembership adds to the number of a user's organizations, and returns the user
// without the profile. The user's log must be locked.
//
// Errors: NOT_FOUND; the transaction must be rolled back then.
func CountMembership(ctx context.Context, tx pgx.Tx, userID string, add int) (User, error) {
	u, err := scanUser(tx.QueryRow(ctx, countMembership, userID, add))
	switch {
	case err != nil:
		return User{}, fmt.Errorf("count membership: %w", err)
	case u.Status == 0:
		return User{}, user.NotFound()
	}
	return u, nil
}

// FindUser reads one user by the primary key.
//
// Errors: NOT_FOUND.
func FindUser(ctx context.Context, q sqldb.Querier, userID string) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, selectUser, userID))
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, user.NotFound()
	}
	return u, sqldb.Unavailable(err)
}

// FindProfile reads a user's profile by the primary key.
//
// Errors: NOT_FOUND.
func FindProfile(ctx context.Context, q sqldb.Querier, userID string) (p user.Profile, err error) {
	err = q.QueryRow(ctx, `SELECT email, name, locale FROM identity.profiles WHERE user_id = $1`, userID).
		Scan(&p.Email, &p.Name, &p.Locale)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, user.NotFound()
	}
	return p, sqldb.Unavailable(err)
}

// FindUserByEmail reads who has an address in a realm, by the primary key of
// user_emails.
//
// Errors: NOT_FOUND.
func FindUserByEmail(ctx context.Context, q sqldb.Querier, realm string, blind []byte) (userID string, err error) {
	err = q.QueryRow(ctx, `SELECT user_id FROM identity.user_emails WHERE realm = $1 AND blind = $2`, realm, blind).Scan(&userID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", user.NotFound()
	}
	return userID, sqldb.Unavailable(err)
}

const (
	// By the index users_listed, whose predicate the query names.
	listUsers = `SELECT ` + userColumns + ` FROM (
  SELECT ` + pageColumns + ` FROM identity.users WHERE state <> 3 AND user_id > $1 ORDER BY user_id LIMIT $2
) u ` + profilesAfter + ` ORDER BY u.user_id`
	// By the index users_state: no other has this order, though the state is one.
	listUsersIn = `SELECT ` + userColumns + ` FROM (
  SELECT ` + pageColumns + ` FROM identity.users WHERE (state, user_id) > ($3, $1) AND state <= $3 ORDER BY state, user_id LIMIT $2
) u ` + profilesAfter + ` ORDER BY u.state, u.user_id`
	// The page is chosen before profiles are looked at. PostgreSQL may still merge
	// the two by their primary keys, and reads profiles from the first on unless it
	// is told where the page begins.
	profilesAfter = `LEFT JOIN identity.profiles p ON p.user_id = u.user_id AND p.user_id > $1`
)

// ListUsers reads up to limit users after an id: those with a status, or with 0 all
// but the erased.
func ListUsers(ctx context.Context, q sqldb.Querier, status user.Status, after string, limit int) ([]User, error) {
	if status == 0 {
		return collectUsers(q.Query(ctx, listUsers, after, limit))
	}
	return collectUsers(q.Query(ctx, listUsersIn, after, limit, int16(status)))
}

// FindUsers reads users by the primary key, in no order. Who is absent is left out.
func FindUsers(ctx context.Context, q sqldb.Querier, userIDs []string) (map[string]User, error) {
	found := make(map[string]User, len(userIDs))
	if len(userIDs) == 0 {
		return found, nil
	}
	users, err := collectUsers(q.Query(ctx, `SELECT `+userColumns+` FROM identity.users u
		LEFT JOIN identity.profiles p ON p.user_id = u.user_id WHERE u.user_id = ANY($1)`, userIDs))
	for _, u := range users {
		found[u.ID] = u
	}
	return found, err
}

func collectUsers(rows pgx.Rows, err error) ([]User, error) {
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	users, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (User, error) { return scanUser(row) })
	return users, sqldb.Unavailable(err)
}

func scanUser(row pgx.Row) (User, error) {
	var (
		u      User
		status int16
	)
	err := row.Scan(&u.ID, &u.Realm, &status, &u.EmailVerified, &u.Source, &u.HomeRegion, &u.CreatedAt, &u.Memberships,
		&u.Email, &u.Name, &u.Locale)
	u.Status = user.Status(status)
	return u, err
}

// ForgetUser removes the rows that tell who a user is: the profile, the address, and
// what the user is found by, which is no more than a name has words, since the user
// is in no organization any more.
func ForgetUser(ctx context.Context, tx pgx.Tx, userID string) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM identity.profiles WHERE user_id = $1`, userID)
	batch.Queue(`DELETE FROM identity.user_emails WHERE user_id = $1`, userID)
	batch.Queue(`DELETE FROM identity.search_words WHERE user_id = $1`, userID)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("forget user: %w", err)
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Request is a row of sessions.requests: an authorization request that waits, pushed by
// a client or for a person on the pages.
type Request struct {
	// Hash is that of what names it.
	Hash           [32]byte
	Client, Issuer string
	// Browser is the hash of the browser's cookie; nil: pushed.
	Browser    []byte
	Content    []byte
	HomeRegion string
	ExpiresAt  time.Time
}

// InsertRequest writes a new request.
func InsertRequest(ctx context.Context, db *sqldb.DB, r Request) error {
	_, err := db.Pool().Exec(ctx,
		`INSERT INTO sessions.requests (request_hash, client_id, issuer, browser_hash, content, home_region, expires_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7)`, r.Hash[:], r.Client, r.Issuer, r.Browser, r.Content, r.HomeRegion, r.ExpiresAt)
	return sqldb.Unavailable(err)
}

// FindRequest reads a request by the primary key.
//
// Errors: NOT_FOUND.
func FindRequest(ctx context.Context, q sqldb.Querier, hash [32]byte) (Request, error) {
	return scanRequest(q.QueryRow(ctx,
		`SELECT client_id, issuer, browser_hash, content, home_region, expires_at FROM sessions.requests WHERE request_hash = $1`, hash[:]), hash)
}

// TakeRequest reads a request and removes it: of two who take it one gets it.
//
// Errors: NOT_FOUND.
func TakeRequest(ctx context.Context, db *sqldb.DB, hash [32]byte) (Request, error) {
	return scanRequest(db.Pool().QueryRow(ctx,
		`DELETE FROM sessions.requests WHERE request_hash = $1
		 RETURNING client_id, issuer, browser_hash, content, home_region, expires_at`, hash[:]), hash)
}

// UpdateRequest writes how far a request is, if there still is one.
func UpdateRequest(ctx context.Context, db *sqldb.DB, r Request) error {
	_, err := db.Pool().Exec(ctx, `UPDATE sessions.requests SET content = $2 WHERE request_hash = $1`, r.Hash[:], r.Content)
	return sqldb.Unavailable(err)
}

func scanRequest(row pgx.Row, hash [32]byte) (Request, error) {
	r := Request{Hash: hash}
	err := row.Scan(&r.Client, &r.Issuer, &r.Browser, &r.Content, &r.HomeRegion, &r.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such request")
	}
	return r, sqldb.Unavailable(err)
}

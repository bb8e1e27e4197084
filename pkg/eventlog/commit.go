package eventlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sabotage"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// OutcomeLife is how long the outcome of a commit is kept under its key.
const OutcomeLife = 24 * time.Hour

// The limits of a request's names and outcome, in bytes.
const (
	maxScope   = 256
	maxKey     = 256
	maxOutcome = 1 << 20
)

// Request is a mutation that must take effect once.
type Request struct {
	// Scope is the caller's reach: two callers never share a key.
	Scope string
	// Key is the caller's idempotency key, at most 256 bytes. Empty: there is no
	// idempotency and nothing is stored; for imports that may be repeated anyway.
	Key string
	// Log is the log that work appends to, when it is one only: commits of one
	// log wait for each other instead of competing. Empty: no waiting.
	Log string
	// Procedure and Message are what the key stands for. The key may not be used
	// again with others.
	Procedure string
	Message   proto.Message
	// Outcome receives what the caller is told. Work fills it; a repeat gets it
	// as the first call left it.
	Outcome proto.Message
}

// claimOutcome does not read other rows' versions, so that commits under
// different keys never conflict with each other on PostgreSQL.
const claimOutcome = `INSERT INTO log.idempotency
  (scope, idempotency_key, home_region, request_hash, outcome, expires_at)
VALUES ($1, $2, $3, $4, '', $5) ON CONFLICT (scope, idempotency_key) DO NOTHING`

const selectOutcome = `SELECT request_hash, outcome, expires_at FROM log.idempotency
WHERE scope = $1 AND idempotency_key = $2`

// storeOutcome is an upsert rather than an update for the reason above.
const storeOutcome = `INSERT INTO log.idempotency
  (scope, idempotency_key, home_region, request_hash, outcome, expires_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope, idempotency_key) DO UPDATE
SET home_region = excluded.home_region, request_hash = excluded.request_hash,
  outcome = excluded.outcome, expires_at = excluded.expires_at`

const sweepOutcomes = `DELETE FROM log.idempotency
WHERE expires_at <= $1 AND (scope, idempotency_key) IN (
  SELECT scope, idempotency_key FROM log.idempotency
  WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`

// Commit runs work in one serializable transaction, once for each key: when the
// same request was committed under (Scope, Key) before, work is not run and
// Outcome is what it was then. Two calls at once are ordered: the second waits
// for the first. Work that fails stores nothing, so the key stays free.
//
// Work may run several times, until its transaction commits; Outcome is emptied
// before each run. The context that work gets is the one to pass to Append:
// after the commit, Nudge is called once for each region appended to. After
// OUTCOME_UNKNOWN it is not called.
//
// Outcomes are kept for OutcomeLife, by the clock.
//
// Errors: IDEMPOTENCY_KEY_REUSED; INVALID_FIELD; work's own; those of DB.Write.
func (s *Store) Commit(
	ctx context.Context, r Request, work func(ctx context.Context, tx pgx.Tx) error,
) (replayed bool, err error) {
	fingerprint, err := s.fingerprint(r)
	if err != nil {
		return false, err
	}
	if r.Log != "" {
		leave, err := s.lanes.enter(ctx, r.Log)
		if err != nil {
			return false, err
		}
		defer leave()
	}
	var touched map[string]struct{}
	err = s.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		touched, replayed = map[string]struct{}{}, false
		ctx = context.WithValue(ctx, touchedKey{}, touched)
		if r.Outcome != nil {
			proto.Reset(r.Outcome)
		}
		if r.Key == "" {
			return work(ctx, tx)
		}
		var err error
		if replayed, err = s.claim(ctx, tx, r, fingerprint); err != nil || replayed {
			return err
		}
		if err := work(ctx, tx); err != nil {
			return err
		}
		return s.settle(ctx, tx, r, fingerprint)
	})
	if err != nil {
		return false, err
	}
	for region := range touched {
		s.nudge(region)
	}
	return replayed, nil
}

// fingerprint is the hash of procedure and message.
func (s *Store) fingerprint(r Request) ([]byte, error) {
	switch {
	case r.Key == "":
		return nil, nil
	case r.Scope == "" || len(r.Scope) > maxScope:
		return nil, fault.Field("scope", "length", fmt.Sprintf("a scope has 1 to %d bytes", maxScope))
	case len(r.Key) > maxKey:
		return nil, fault.Field("idempotency_key", "max_len", fmt.Sprintf("a key has at most %d bytes", maxKey))
	}
	b := binary.AppendUvarint(nil, uint64(len(r.Procedure)))
	b = append(b, r.Procedure...)
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, r.Message)
	if err != nil {
		return nil, fault.Field("request", "encodable", "the request cannot be encoded")
	}
	return s.mac(b), nil
}

// claim takes the key for this transaction, or finds the stored outcome. A call
// under the same key that is not finished makes it wait.
func (s *Store) claim(ctx context.Context, tx pgx.Tx, r Request, fingerprint []byte) (replayed bool, err error) {
	now := s.now()
	tag, err := tx.Exec(ctx, claimOutcome, r.Scope, r.Key, s.region, fingerprint, now.Add(OutcomeLife))
	if err != nil {
		return false, fmt.Errorf("claim idempotency key: %w", err)
	}
	if tag.RowsAffected() == 1 || sabotage.Off(sabotage.Idempotency) {
		return false, nil
	}
	var request, outcome []byte
	var expires time.Time
	err = tx.QueryRow(ctx, selectOutcome, r.Scope, r.Key).Scan(&request, &outcome, &expires)
	switch {
	case err != nil:
		return false, fmt.Errorf("read outcome: %w", err)
	case !expires.After(now):
		// As if it were absent: settle replaces it, and two at once conflict there.
		return false, nil
	case string(request) != string(fingerprint):
		return false, fault.New(fault.Invalid, commonv1.Reason_IDEMPOTENCY_KEY_REUSED,
			"the idempotency key was used before with a different request").With("field", "idempotency_key")
	case r.Outcome == nil:
		return true, nil
	}
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(outcome, r.Outcome); err != nil {
		return false, defect("the stored outcome is not of the request's type")
	}
	return true, nil
}

// settle stores the outcome under the key that was claimed.
func (s *Store) settle(ctx context.Context, tx pgx.Tx, r Request, fingerprint []byte) error {
	outcome := []byte{}
	if r.Outcome != nil {
		var err error
		outcome, err = proto.MarshalOptions{Deterministic: true}.Marshal(r.Outcome)
		if err != nil || len(outcome) > maxOutcome {
			return defect("the outcome cannot be stored")
		}
	}
	expires := s.now().Add(OutcomeLife)
	_, err := tx.Exec(ctx, storeOutcome, r.Scope, r.Key, s.region, fingerprint, outcome, expires)
	if err != nil {
		return fmt.Errorf("store outcome: %w", err)
	}
	return nil
}

// Sweep deletes up to limit (1 to 10,000) outcomes that are older than
// OutcomeLife, the oldest first, and says how many. CockroachDB does it by
// itself (row TTL); on PostgreSQL call it now and then until it returns less
// than limit.
//
// Errors: INVALID_FIELD, DATABASE_UNAVAILABLE.
func (s *Store) Sweep(ctx context.Context, limit int) (deleted int64, err error) {
	if err := checkLimit(limit, MaxRead); err != nil {
		return 0, err
	}
	pool := s.db.Pool()
	tag, err := pool.Exec(ctx, sweepOutcomes, s.now(), limit)
	if err != nil {
		return 0, failed(pool, "sweep outcomes", err)
	}
	return tag.RowsAffected(), nil
}

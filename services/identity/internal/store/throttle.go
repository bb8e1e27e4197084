package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
)

// ThrottleLife is how long a bucket is kept that counts nothing: longer than any
// takes to forget all that it has counted.
const ThrottleLife = 24 * time.Hour

// takeThrottles makes the rows that there are not, and locks all: it finds them as
// the conflicts of an insert, which locks no page of an index (see package
// eventlog).
const takeThrottles = `INSERT INTO identity.throttles AS t (bucket, failures, blocked_until, updated_at, home_region)
SELECT k.bucket, 0, 'epoch', $2, $3 FROM unnest($1::BYTEA[]) AS k (bucket)
ON CONFLICT (bucket) DO UPDATE SET home_region = t.home_region
RETURNING t.bucket, t.failures, t.blocked_until, t.updated_at`

const storeThrottles = `INSERT INTO identity.throttles AS t (bucket, failures, blocked_until, updated_at, home_region)
SELECT k.bucket, k.failures, k.blocked_until, k.updated_at, $5
FROM unnest($1::BYTEA[], $2::INT4[], $3::TIMESTAMPTZ[], $4::TIMESTAMPTZ[]) AS k (bucket, failures, blocked_until, updated_at)
ON CONFLICT (bucket) DO UPDATE SET failures = excluded.failures, blocked_until = excluded.blocked_until, updated_at = excluded.updated_at`

// TakeThrottles reads buckets by their keys and locks their rows to the end of the
// transaction, in the order of the keys, so that nobody waits in a circle. Buckets
// that are absent are made.
func TakeThrottles(ctx context.Context, tx pgx.Tx, keys [][]byte, region string, at time.Time) ([]throttle.Bucket, error) {
	sorted := slices.SortedFunc(slices.Values(keys), bytes.Compare)
	rows, err := tx.Query(ctx, takeThrottles, sorted, at, region)
	if err != nil {
		return nil, fmt.Errorf("take throttles: %w", err)
	}
	found := make(map[string]throttle.Bucket, len(keys))
	var key []byte
	var b throttle.Bucket
	_, err = pgx.ForEachRow(rows, []any{&key, &b.Failures, &b.BlockedUntil, &b.UpdatedAt}, func() error {
		found[string(key)] = b
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take throttles: %w", err)
	}
	buckets := make([]throttle.Bucket, len(keys))
	for i, k := range keys {
		buckets[i] = found[string(k)]
	}
	return buckets, nil
}

// StoreThrottles writes buckets that TakeThrottles locked.
func StoreThrottles(ctx context.Context, tx pgx.Tx, keys [][]byte, buckets []throttle.Bucket, region string) error {
	failures := make([]int32, len(buckets))
	blocked, updated := make([]time.Time, len(buckets)), make([]time.Time, len(buckets))
	for i, b := range buckets {
		failures[i], blocked[i], updated[i] = int32(b.Failures), b.BlockedUntil, b.UpdatedAt
	}
	return execute(ctx, tx, "store throttles", storeThrottles, keys, failures, blocked, updated, region)
}

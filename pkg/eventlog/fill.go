package eventlog

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/region"
)

// Fill names a stream that holds everything that a region's relay published.
type Fill struct {
	// Stream is its name.
	Stream string
	// Created is when it was created, in Unix nanoseconds: a stream of the same
	// name with another value was made anew after a loss.
	Created int64
	// Sequence is where it ended at least; a stream that ends before lost its
	// newest messages.
	Sequence uint64
}

const selectFill = `SELECT created, sequence FROM log.stream_fills WHERE home_region = $1 AND stream = $2`

const upsertFill = `INSERT INTO log.stream_fills (home_region, stream, created, sequence, filled_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (home_region, stream) DO UPDATE
SET created = excluded.created, sequence = excluded.sequence, filled_at = excluded.filled_at`

// Fill returns what RecordFill and MarkPublished noted last about a region and a
// stream. found is false when this stream was never filled.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Store) Fill(ctx context.Context, region, stream string) (fill Fill, found bool, err error) {
	pool := s.db.Pool()
	var sequence int64
	fill.Stream = stream
	err = pool.QueryRow(ctx, selectFill, region, stream).Scan(&fill.Created, &sequence)
	if errors.Is(err, pgx.ErrNoRows) {
		return Fill{}, false, nil
	}
	if err != nil {
		return Fill{}, false, failed(pool, "read stream fill", err)
	}
	fill.Sequence = uint64(sequence)
	return fill, true, nil
}

// RecordFill notes that a stream holds everything of the region that was marked
// as published. Call it only after that is so.
//
// Errors: INVALID_FIELD, DATABASE_UNAVAILABLE.
func (s *Store) RecordFill(ctx context.Context, homeRegion string, fill Fill) error {
	if !region.Valid(homeRegion) {
		return fault.Field("region", "region", "not the name of a region")
	}
	if fill.Sequence > maxSequence {
		return fault.Field("sequence", "range", "a sequence is out of range")
	}
	pool := s.db.Pool()
	if _, err := pool.Exec(ctx, upsertFill, homeRegion, fill.Stream, fill.Created, int64(fill.Sequence)); err != nil {
		return failed(pool, "record stream fill", err)
	}
	return nil
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/region"
)

// maxLease is the longest relay lease.
const maxLease = time.Hour

// acquireLease lets a relay of another region neither take nor extend a lease
// that a relay of the region itself waits for.
const acquireLease = `INSERT INTO log.relay_leases (home_region, holder, epoch, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + $3::INT8 * INTERVAL '1 microsecond')
ON CONFLICT (home_region) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at,
  epoch = CASE WHEN log.relay_leases.holder = excluded.holder
    THEN log.relay_leases.epoch ELSE log.relay_leases.epoch + 1 END
WHERE (log.relay_leases.holder = excluded.holder OR log.relay_leases.expires_at <= clock_timestamp())
  AND ($4::BOOL OR COALESCE(log.relay_leases.home_waits_until <= clock_timestamp(), TRUE))
RETURNING epoch`

const waitForLease = `UPDATE log.relay_leases
SET home_waits_until = clock_timestamp() + $3::INT8 * INTERVAL '1 microsecond'
WHERE home_region = $1 AND holder <> $2`

const releaseLease = `UPDATE log.relay_leases SET expires_at = clock_timestamp()
WHERE home_region = $1 AND holder = $2 AND expires_at > clock_timestamp()`

// Acquire takes the lease to relay a region's outbox, or extends it when holder
// has it already. A lease is free when nobody has it, or when it is over by the
// database's clock. It lasts for ttl (up to 1 h) from now. holder names one
// running process; a process that starts again takes a new name.
//
// home says that the caller is a relay of the region itself. When another has
// the lease, the caller then waits for it until ttl from now, and a relay of
// another region that took it over lets go of it.
//
// epoch counts the holders, from 1: it grows with each change. It is 0 when the
// lease is not held.
//
// Errors: INVALID_FIELD, DATABASE_UNAVAILABLE.
func (s *Store) Acquire(
	ctx context.Context, homeRegion, holder string, ttl time.Duration, home bool,
) (held bool, epoch uint64, err error) {
	switch {
	case !region.Valid(homeRegion):
		return false, 0, fault.Field("region", "region", "not the name of a region")
	case holder == "" || len(holder) > maxText:
		return false, 0, fault.Field("holder", "length", fmt.Sprintf("a holder has 1 to %d bytes", maxText))
	case ttl < time.Microsecond || ttl > maxLease:
		return false, 0, fault.Field("ttl", "range", fmt.Sprintf("a lease lasts 1 µs to %s", maxLease))
	}
	var counted int64
	pool := s.db.Pool()
	err = pool.QueryRow(ctx, acquireLease, homeRegion, holder, ttl.Microseconds(), home).Scan(&counted)
	if errors.Is(err, pgx.ErrNoRows) {
		if home {
			_, err = pool.Exec(ctx, waitForLease, homeRegion, holder, ttl.Microseconds())
		} else {
			err = nil
		}
		if err != nil {
			return false, 0, failed(pool, "wait for lease", err)
		}
		return false, 0, nil
	}
	if err != nil {
		return false, 0, failed(pool, "acquire lease", err)
	}
	return true, uint64(counted), nil
}

// Release ends holder's lease, so that another can take it at once. It does
// nothing when holder does not have it.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Store) Release(ctx context.Context, homeRegion, holder string) error {
	pool := s.db.Pool()
	if _, err := pool.Exec(ctx, releaseLease, homeRegion, holder); err != nil {
		return failed(pool, "release lease", err)
	}
	return nil
}

package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Use notes that what is good for one use was used, and says whether that was the
// first time: of several who use it at once one is told so. hash is the SHA-256 of
// who it is of and its id. It is forgotten some time after expires, so nobody may take
// it then. By the primary key.
//
// Errors: DATABASE_UNAVAILABLE, after which it may be used or not.
func Use(ctx context.Context, q sqldb.Querier, hash [sha256.Size]byte, region string, expires time.Time) (first bool, err error) {
	tag, err := q.Exec(ctx,
		`INSERT INTO sessions.used (used_hash, home_region, expires_at) VALUES ($1, $2, $3) ON CONFLICT (used_hash) DO NOTHING`,
		hash[:], region, expires)
	if err != nil {
		return false, fmt.Errorf("use once: %w", sqldb.Unavailable(err))
	}
	return tag.RowsAffected() == 1, nil
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// PutCutoff notes that all was ended that was given until a time, for an organization or
// by a client, whose id is the subject. The latest time stays.
func PutCutoff(ctx context.Context, tx pgx.Tx, subject, region string, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO sessions.cutoffs (subject, cut_at, home_region) VALUES ($1, $2, $3)
		 ON CONFLICT (subject) DO UPDATE SET cut_at = greatest(sessions.cutoffs.cut_at, excluded.cut_at)`, subject, at, region)
	if err != nil {
		return fmt.Errorf("put cutoff: %w", err)
	}
	return nil
}

// CutOff is the last time when all was ended of some subjects, by the primary key; the
// zero time: never.
func CutOff(ctx context.Context, q sqldb.Querier, subjects ...string) (time.Time, error) {
	var at *time.Time
	err := q.QueryRow(ctx, `SELECT max(cut_at) FROM sessions.cutoffs WHERE subject = ANY($1)`, subjects).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, sqldb.Unavailable(err)
	}
	return *at, nil
}

// cutoffFold rebuilds which subjects of a log were cut off.
type cutoffFold struct{ subjects map[string]bool }

func newCutoffFold() *cutoffFold { return &cutoffFold{subjects: map[string]bool{}} }

func (f *cutoffFold) apply(event proto.Message) bool {
	e, ok := event.(*eventv1.TokensRevoked)
	if ok {
		f.subjects[e.GetOrganization()+e.GetClient()] = true // one is empty
	}
	return ok
}

func (f *cutoffFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	for subject := range f.subjects {
		at, err := CutOff(ctx, q, subject)
		if err != nil {
			return "", err
		}
		if at.IsZero() {
			return "cutoff " + subject + ": there is no row", nil
		}
	}
	return "", nil
}

package faults_test

import (
	"errors"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// node starts a deployment of one node with an organization in it.
func node(t *testing.T) (*harness.Deployment, *harness.Node, organization) {
	t.Helper()
	d := harness.StartDeployment(t)
	n := d.Node(t, "node", "")
	n.Start(t)
	return d, n, open(t, n.Client(d.Token), "acme")
}

var errAnswered = errors.New("it answered")

func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	d, n, o := node(t)
	w := startWriters(t, o, "database")
	for range 2 {
		w.acknowledged(t, 50)
		d.Database.Kill(t)
		away := time.Now()
		// Within their staleness bound, checks go on from memory.
		if _, err := o.check(t.Context(), "user:database-0-0", "", time.Minute); err != nil {
			t.Errorf("a check %v after the database went away: %s", time.Since(away), describe(err))
		}
		w.failed(t, 2*writerCount)
		// And then they say that they are stale, rather than guess.
		const bound = 500 * time.Millisecond
		var stale error
		harness.Eventually(t, "the replica is stale", func() error {
			if _, stale = o.check(t.Context(), "user:database-0-0", "", bound); stale == nil {
				return errAnswered
			}
			return nil
		})
		typed(t, stale, commonv1.Reason_REPLICA_STALE)
		if allowed, err := o.check(t.Context(), "user:database-0-0", "", time.Minute); err != nil || !allowed {
			t.Errorf("a check within its bound while the database is away: %v, %s", allowed, describe(err))
		}
		d.Database.Restart(t)
	}
	w.acknowledged(t, 50)
	harness.Eventually(t, "checks are fresh again", func() error {
		_, err := o.check(t.Context(), "user:database-0-0", "", time.Second)
		return err
	})
	w.end()
	for user, err := range w.errors {
		typed(t, err, commonv1.Reason_DATABASE_UNAVAILABLE, commonv1.Reason_OUTCOME_UNKNOWN)
		if meridian.Is(err, commonv1.Reason_DATABASE_UNAVAILABLE) && !retryInfo(err) {
			t.Errorf("%s: %s does not tell when to try again", user, describe(err))
		}
	}
	w.settle(t, o)
	n.Ready(t)
	verify(t, n.URL(), d.Token)
}

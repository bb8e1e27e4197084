package eventlog_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
)

// BenchmarkCommit measures transactions per second. "row" is the limit: a bare
// serializable transaction that updates one row. "append" adds one event to a
// log, "batch" 256 (see events/s), "commit" adds an idempotency key, "personal"
// adds personal data of a known user. Each is run by one writer on one log, by
// eight on one log, and by eight on a log each.
func BenchmarkCommit(b *testing.B) {
	for _, way := range []string{"row", "append", "commit", "personal", "batch"} {
		for _, c := range []struct{ writers, logs int }{{1, 1}, {8, 1}, {8, 8}, {8, 64}} {
			if way == "batch" && c.logs > 8 {
				continue
			}
			b.Run(fmt.Sprintf("%s/writers=%d/logs=%d", way, c.writers, c.logs), func(b *testing.B) {
				newLoad(b, c.logs).run(b, c.writers, way)
			})
		}
	}
}

type load struct {
	fixture
	types schema
	logs  []string
	user  string
}

func newLoad(b *testing.B, logs int) *load {
	types := people(b)
	l := &load{types: types, user: id.New(id.User)}
	l.fixture = newFixture(b, func(c *eventlog.Config) { c.Types = types })
	for range logs {
		log := newLog()
		l.mustAppend(b, log, 0, types.event(b, "UserCreated", fill(personalJSON, l.user, l.user)))
		l.logs = append(l.logs, log)
	}
	return l
}

func (l *load) run(b *testing.B, writers int, way string) {
	var next atomic.Int64
	perEvent := 1
	if way == "batch" {
		perEvent = 256
	}
	b.ResetTimer()
	inParallel(b, writers, func(ctx context.Context, worker int) error {
		for {
			n := next.Add(1)
			if n > int64(b.N) {
				return nil
			}
			// A writer keeps to logs of its own where there are enough.
			log := l.logs[(int(n)*writers+worker)%len(l.logs)]
			if err := l.once(b, ctx, way, log, n); err != nil {
				return err
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
	b.ReportMetric(float64(b.N*perEvent)/b.Elapsed().Seconds(), "events/s")
}

func (l *load) once(b *testing.B, ctx context.Context, way, log string, n int64) error {
	a := eventlog.Append{Log: log, Expected: eventlog.AnyHead, Actor: operator(), Events: manyNamed(1)}
	appendOne := func(ctx context.Context, tx pgx.Tx) error {
		_, err := l.Append(ctx, tx, a)
		return err
	}
	switch way {
	case "row":
		return l.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE log.logs SET head_time = head_time + INTERVAL '1 microsecond' WHERE log_id = $1`, log)
			return err
		})
	case "batch":
		a.Events = manyNamed(eventlog.MaxAppendEvents)
	case "personal":
		a.Events[0] = l.types.event(b, "UserCreated", fill(personalJSON, l.user, l.user))
	case "commit":
		request := eventlog.Request{Scope: "s", Key: fmt.Sprint(n), Message: &requestMessage{}, Outcome: &outcomeMessage{}}
		_, err := l.Commit(ctx, request, appendOne)
		return err
	}
	return l.db.Write(ctx, appendOne)
}

// BenchmarkRead measures how fast a log is read and checked, in pages.
func BenchmarkRead(b *testing.B) {
	f := newFixture(b)
	log := newLog()
	f.mustAppend(b, log, 0, manyNamed(256)...)
	for head := 256; head < 10_000; head += 256 {
		f.mustAppend(b, log, uint64(head), manyNamed(256)...)
	}
	events := 0
	for b.Loop() {
		events += len(f.mustRead(b, log))
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

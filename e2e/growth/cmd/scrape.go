package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/e2e/growth"
)

// metric is the sum of a metric of one process over all its labels.
func (d *deployment) metric(ctx context.Context, region, kind, name string) (sum float64, err error) {
	address, err := d.address(region, kind)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := probes.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), " ")
		if of, _, _ := strings.Cut(key, "{"); !found || of != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += n
	}
	return sum, lines.Err()
}

// relays sums a metric over the relays of all regions. A process that stands by
// has it, too: those count the same outbox only while they lead.
func (d *deployment) relays(ctx context.Context, name string) (sum float64, err error) {
	for _, region := range d.regions {
		n, err := d.metric(ctx, region, relay, name)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// watchBacklog looks at the outboxes until ctx ends, and then says the most that
// it saw.
func (d *deployment) watchBacklog(ctx context.Context) <-chan float64 {
	most := make(chan float64, 1)
	go func() {
		var seen float64
		for pause(ctx, time.Second) == nil {
			if n, err := d.relays(ctx, "meridian_relay_outbox_entries"); err == nil {
				seen = max(seen, n)
			}
		}
		most <- seen
	}()
	return most
}

// drained waits until nothing waits to be published: the outbox itself is empty.
func (d *deployment) drained(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	err := d.database(ctx, func(c *pgx.Conn) error {
		return until(ctx, startBound, "the outboxes are empty", func(ctx context.Context) error {
			var n int
			if err := c.QueryRow(ctx, "SELECT count(*) FROM log.outbox").Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%d appends wait", n)
			}
			return nil
		})
	})
	return time.Since(began), err
}

// rolledBack is how many transactions were rolled back so far.
func (d *deployment) rolledBack(ctx context.Context) (n uint64, err error) {
	err = d.database(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
	})
	return n, err
}

// database calls fn with a connection.
func (d *deployment) database(ctx context.Context, fn func(*pgx.Conn) error) error {
	url, err := os.ReadFile(filepath.Join(d.dir, "regions", d.regions[0], "database.url"))
	if err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, strings.TrimSpace(string(url)))
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is written
	return fn(c)
}

// disk is what streams and database take.
func (d *deployment) disk(ctx context.Context) (growth.Disk, error) {
	out := growth.Disk{Tables: map[string]growth.Table{}}
	for _, region := range d.regions {
		streams := filepath.Join(d.dir, "regions", region, growth.NATS, "jetstream", "APP", "streams")
		names, err := os.ReadDir(streams)
		if err != nil {
			return out, err
		}
		own := "LOG_" + strings.ToUpper(strings.ReplaceAll(region, "-", "_"))
		for _, name := range names {
			bytes := size(filepath.Join(streams, name.Name()))
			switch {
			case name.Name() == own:
				out.Streams += bytes
			case !strings.HasPrefix(name.Name(), "HEARTBEAT"):
				out.Mirrors += bytes
			}
		}
	}
	err := d.database(ctx, func(c *pgx.Conn) error {
		err := c.QueryRow(ctx, "SELECT pg_database_size(current_database()), (SELECT coalesce(sum(head), 0) FROM log.logs)").Scan(&out.Database, &out.Events)
		if err != nil {
			return err
		}
		for _, name := range []string{"events", "logs", "idempotency", "outbox"} {
			var t growth.Table
			table := pgx.Identifier{"log", name}.Sanitize()
			err := c.QueryRow(ctx, "SELECT count(*), pg_total_relation_size($1::regclass), pg_indexes_size($1::regclass) FROM "+table, table).
				Scan(&t.Rows, &t.All, &t.Indexes)
			if err != nil {
				return err
			}
			out.Tables[name] = t
		}
		return nil
	})
	return out, err
}

// size is that of all files below a folder. Files come and go meanwhile.
func size(dir string) (sum uint64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it went
		}
		if info, err := entry.Info(); err == nil && entry.Type().IsRegular() {
			sum += uint64(info.Size())
		}
		return nil
	})
	return sum
}

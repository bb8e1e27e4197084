package project

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Config is what projections need. Zero values mean the defaults named.
type Config struct {
	Bus   *bus.Bus
	DB    *sqldb.DB
	Store *eventlog.Store
	// Name is the label of the metrics and of the log lines. "replicas" for a
	// follower; projections that keep rows use their own.
	Name string
	// Queue is how many live events an attachment holds before it drops them and
	// reads them again. 1,024.
	Queue int
	// LateAfter is how long a Wait lasts before the events table is asked. 100 ms.
	LateAfter time.Duration
	// Clock is the wall clock, for ages; nil means time.Now.
	Clock func() time.Time
	// Metrics may be nil.
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// The bounds of one batch and of reads from the events table.
const (
	maxBatch     = 1000
	queueBytes   = 4 << 20
	readPage     = 1000
	readDeadline = 5 * time.Second
	tableReaders = 8
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

func (c Config) withDefaults(name string) Config {
	if c.Name == "" {
		c.Name = name
	}
	if c.Queue == 0 {
		c.Queue = 1024
	}
	if c.LateAfter == 0 {
		c.LateAfter = 100 * time.Millisecond
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With(slog.String("projection", c.Name))
	return c
}

func (c Config) check() error {
	if c.Bus == nil || c.DB == nil || c.Store == nil {
		return errors.New("project: bus, database and store are required")
	}
	return nil
}

// Package usage remembers when API tokens were last used, and writes it now and then.
// It is activity, and no event: what is lost when a process ends, or when too many
// tokens are used at once, is lost.
package usage

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// step is how exact it is: a use is not noted within that time after the one that
	// is written.
	step = 5 * time.Minute
	// every is how often what was noted is written, in statements of batch tokens.
	every = 30 * time.Second
	batch = 500
	// most is how many tokens are noted between two writes.
	most = 100_000
	// lastWrite bounds the write after the last round.
	lastWrite = 2 * time.Second
)

// Recorder notes uses. Any number of processes may.
type Recorder struct {
	db    *sqldb.DB
	clock func() time.Time
	log   *slog.Logger

	mu   sync.Mutex
	used map[string]time.Time
}

// New returns a recorder.
func New(db *sqldb.DB, clock func() time.Time, log *slog.Logger) *Recorder {
	return &Recorder{db: db, clock: clock, log: log, used: map[string]time.Time{}}
}

// Note notes that a token is used now. written is when it was used last, as its row
// says. It waits for nothing. A nil recorder notes nothing.
func (r *Recorder) Note(token string, written *time.Time) {
	if r == nil {
		return
	}
	now := r.clock().UTC().Truncate(time.Microsecond)
	if written != nil && now.Sub(*written) < step {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, noted := r.used[token]; noted || len(r.used) < most {
		r.used[token] = now
	}
}

// Run writes until ctx ends, and once more then. A database that is away is no error:
// what was noted is written later.
func (r *Recorder) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			r.write(last)
			cancel()
			return nil
		case <-ticker.C:
			r.write(ctx)
		}
	}
}

func (r *Recorder) write(ctx context.Context) {
	if err := r.Write(ctx); err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "uses of tokens not written", slog.Any("error", err))
	}
}

// Write writes what was noted. What cannot be written stays noted.
func (r *Recorder) Write(ctx context.Context) error {
	r.mu.Lock()
	used := r.used
	r.used = map[string]time.Time{}
	r.mu.Unlock()
	// In order, so that two processes do not wait for each other.
	for tokens := range slices.Chunk(slices.Sorted(maps.Keys(used)), batch) {
		at := make([]time.Time, len(tokens))
		for i, token := range tokens {
			at[i] = used[token]
		}
		if err := store.MarkTokensUsed(ctx, r.db.Pool(), tokens, at); err != nil {
			r.keep(used)
			return err
		}
		for _, token := range tokens {
			delete(used, token)
		}
	}
	return nil
}

// keep notes again what could not be written, unless there is a later use.
func (r *Recorder) keep(used map[string]time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for token, at := range used {
		if _, noted := r.used[token]; !noted && len(r.used) < most {
			r.used[token] = at
		}
	}
}

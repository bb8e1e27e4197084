// Package logout tells clients that sessions have ended: what ending wrote is sent until
// the client has it, at least once.
package logout

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	// every is how often the index is looked at.
	every = time.Second
	// batch is how many clients are told at a time.
	batch = 64
	// lease is for how long nobody else takes what a process took: longer than a call and
	// two statements.
	lease = 30 * time.Second
	// slowFor is how long a client is left out that did not answer in time, so that it does
	// not hold up the others.
	slowFor = 10 * time.Second
	// timeout bounds one call.
	timeout = 5 * time.Second
	// endTimeout bounds the statement that notes what came of it, also when the process ends.
	endTimeout = 5 * time.Second
)

// Signer signs with the keys of this region.
type Signer interface {
	Sign(algorithm jose.Algorithm, typ string, claims any) (string, error)
}

// Options are what a teller needs.
type Options struct {
	DB   *sqldb.DB
	Keys Signer
	// Transport says whom clients may be, but for those on this machine.
	Transport outbound.Options
	// Region is where this process runs: the home region of the users of whose sessions it
	// tells.
	Region  string
	Clock   func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: nobody sees
}

// Teller tells clients. Several at once, in any number of processes, share the work.
type Teller struct {
	Options

	client  *http.Client
	metrics *metrics
	// timeout bounds one call.
	timeout time.Duration
	// slow are the clients that are left out, and until when.
	mu   sync.Mutex
	slow map[string]time.Time
}

// New returns a teller.
func New(o Options) *Teller {
	return &Teller{Options: o, client: newClient(o.Transport), metrics: newMetrics(o.Metrics), timeout: timeout, slow: map[string]time.Time{}}
}

// Run tells until ctx ends. A database that is away is no error: what is due is told
// later.
func (t *Teller) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	defer t.client.CloseIdleConnections()
	for {
		for t.again(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// again tells some and says whether there is more to do at once.
func (t *Teller) again(ctx context.Context) bool {
	tried, err := t.Tell(ctx)
	if err == nil && tried < batch {
		err = t.look(ctx)
	}
	if err != nil && ctx.Err() == nil {
		t.Logger.WarnContext(ctx, "clients not told of logouts", slog.Any("error", err))
	}
	return err == nil && tried == batch && ctx.Err() == nil
}

// Tell tells the clients that are due, the longest due first, and says how many it
// tried.
//
// Errors: DATABASE_UNAVAILABLE; what was tried then is tried again after its lease.
func (t *Teller) Tell(ctx context.Context) (tried int, err error) {
	now := t.now()
	due, err := store.ClaimLogouts(ctx, t.DB, t.Region, now, now.Add(lease), t.leftOut(now), batch)
	if err != nil {
		return 0, err
	}
	failures := make([]error, len(due))
	var group sync.WaitGroup
	for i, l := range due {
		group.Go(func() { failures[i] = t.tell(ctx, l) })
	}
	group.Wait()
	for _, failed := range failures {
		if err == nil {
			err = failed
		}
	}
	return len(due), err
}

func (t *Teller) now() time.Time { return t.Clock().UTC().Truncate(time.Microsecond) }

// leftOut are the clients that are slow now.
func (t *Teller) leftOut(now time.Time) (clients []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for client, until := range t.slow {
		if now.After(until) {
			delete(t.slow, client)
			continue
		}
		clients = append(clients, client)
	}
	slices.Sort(clients)
	return clients
}

// tell makes one attempt and notes what came of it. A process that is told to end notes
// nothing of a call that it broke off: the next one makes it again.
func (t *Teller) tell(ctx context.Context, l store.Logout) error {
	answer, err := t.attempt(ctx, l)
	if err != nil || ctx.Err() != nil && answer.Status == 0 {
		return err
	}
	if answer.Missing == logout.Timeout || answer.Slow {
		t.mu.Lock()
		t.slow[l.Client] = t.now().Add(slowFor)
		t.mu.Unlock()
	}
	l.State = l.After(answer, t.now())
	noted, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := store.EndAttempt(noted, t.DB, l); err != nil {
		return err
	}
	t.metrics.attempted(l.Status)
	if l.Status == logout.Failed {
		t.Logger.WarnContext(ctx, "client not told of a logout", slog.String("client", l.Client), slog.String("logout", l.ID),
			slog.Int("status", answer.Status), slog.String("missing", string(answer.Missing)))
	}
	return nil
}

// attempt tells a client as it is registered now.
//
// Errors: DATABASE_UNAVAILABLE.
func (t *Teller) attempt(ctx context.Context, l store.Logout) (logout.Answer, error) {
	c, err := store.FindClient(ctx, t.DB.Pool(), l.Client)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return logout.Answer{Missing: logout.NoClient}, nil
	case err != nil:
		return logout.Answer{}, err
	case c.Settings.GetBackchannelLogoutUri() == "":
		return logout.Answer{Missing: logout.NoURI}, nil
	}
	token, err := t.Keys.Sign(jose.Algorithm(c.Settings.GetIdTokenAlgorithm()), tokenType, claimsOf(l, t.now()))
	if err != nil {
		t.Logger.WarnContext(ctx, "no key signs a logout token", slog.Any("error", err))
		return logout.Answer{Missing: logout.NoKey}, nil
	}
	return t.post(ctx, c.Settings.GetBackchannelLogoutUri(), token), nil
}

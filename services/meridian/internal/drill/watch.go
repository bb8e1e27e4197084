package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// watched is what a watch in a region was told of an organization.
type watched struct {
	home   *home
	region string

	mu sync.Mutex
	// sequences of the changes, as they came.
	sequences []uint64
}

// watchAll begins to follow all organizations from all regions, beyond the end
// of the other canaries.
func (d *drill) watchAll(ctx context.Context) {
	ctx, d.stopWatches = context.WithCancel(ctx)
	for _, h := range d.homes {
		for _, region := range d.target.Regions() {
			w := &watched{home: h, region: region}
			d.watches = append(d.watches, w)
			d.watching.Go(func() { d.watch(ctx, w) })
		}
	}
}

// endWatches waits until all watches were told of the newest writes, and ends
// them.
func (d *drill) endWatches(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, convergeWithin)
	defer cancel()
	for _, w := range d.watches {
		_, newest := w.home.newest()
		for w.last() < newest && wait(ctx, 50*time.Millisecond) == nil {
		}
	}
	d.stopWatches()
	d.watching.Wait()
}

// watch follows an organization from a region.
func (d *drill) watch(ctx context.Context, w *watched) {
	request := &authzv1.WatchRequest{Organization: w.home.organization, After: w.home.start}
	err := d.clients[w.region].Watch(ctx, request, func(m *authzv1.WatchResponse) error {
		if changes := m.GetChanges(); changes != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sequences = append(w.sequences, changes.GetSequence())
		}
		return nil
	})
	if ctx.Err() == nil {
		d.broken(fmt.Errorf("watch of %s in %s ended: %w", w.home.region, w.region, err))
	}
}

// last is the newest change that a watch was told of.
func (w *watched) last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sequences) == 0 {
		return 0
	}
	return w.sequences[len(w.sequences)-1]
}

// acknowledgedIn are the changes of a log up to the newest that was acknowledged:
// the watches did not wait for more.
func (h *home) acknowledgedIn(log map[uint64]change) []uint64 {
	_, newest := h.newest()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(log)), func(sequence uint64) bool { return sequence > newest })
}

// missed are the changes that the watch was not told of. It also counts those
// that came twice or out of order.
func (w *watched) missed(changes []uint64) (missing []uint64, disorder int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 1; i < len(w.sequences); i++ {
		if w.sequences[i] <= w.sequences[i-1] {
			disorder++
		}
	}
	told := slices.Clone(w.sequences)
	slices.Sort(told)
	for _, sequence := range changes {
		if _, found := slices.BinarySearch(told, sequence); !found {
			missing = append(missing, sequence)
		}
	}
	return missing, disorder
}

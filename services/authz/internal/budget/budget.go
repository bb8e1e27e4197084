// Package budget bounds the memory of what many calls hold at once.
package budget

import (
	"sync"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Budget counts bytes. It is safe for concurrent use.
type Budget struct {
	most, mostEach int

	mu      sync.Mutex
	bytes   int
	holders map[string]int
}

// New returns a budget of so many bytes in all, and for one organization.
func New(most, mostEach int) *Budget {
	return &Budget{most: most, mostEach: mostEach, holders: map[string]int{}}
}

// retryAfter is what a caller is told when there is no room.
const retryAfter = time.Second

// Take takes an organization's bytes; giveBack, called once, returns them. Who
// holds nothing may take more than there is for one organization, as long as
// there is any room in all: nothing is refused for ever.
//
// Errors: RATE_LIMITED.
func (b *Budget) Take(organization string, bytes int) (giveBack func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.holders[organization]
	if b.bytes >= b.most || mine > 0 && (b.bytes+bytes > b.most || mine+bytes > b.mostEach) {
		return nil, fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED,
			"clients that read slowly hold too many answers; try again").Retry(retryAfter)
	}
	b.add(organization, bytes)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.add(organization, -bytes)
	}, nil
}

func (b *Budget) add(organization string, bytes int) {
	b.bytes += bytes
	if b.holders[organization] += bytes; b.holders[organization] == 0 {
		delete(b.holders, organization)
	}
}

// Bytes is what is held.
func (b *Budget) Bytes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

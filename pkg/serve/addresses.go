package serve

import (
	"net/http"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Addresses are token buckets by remote address, for what callers may do of whom nothing
// else is known. An IPv6 address stands for its /64 network, of which one host has all.
// Requests of this process have no address, and no limit.
type Addresses struct{ buckets *buckets }

// NewAddresses returns full buckets. A nil clock is time.Now.
func NewAddresses(rate Rate, clock func() time.Time) *Addresses {
	if clock == nil {
		clock = time.Now
	}
	return &Addresses{newBuckets(rate, clock)}
}

// Take counts a request.
//
// Errors: RATE_LIMITED.
func (a *Addresses) Take(r *http.Request) error {
	address := visitOf(r.Context()).from()
	if address == "" {
		return nil
	}
	if said := a.buckets.take(address); !said.ok {
		return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many requests from one address").Retry(max(said.wait, time.Millisecond))
	}
	return nil
}

// GiveBack takes a request back that was counted.
func (a *Addresses) GiveBack(r *http.Request) {
	if address := visitOf(r.Context()).from(); address != "" {
		a.buckets.giveBack(address)
	}
}

package failover

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

var (
	// errSlow ends an attempt that took longer than its share.
	errSlow = errors.New("no answer in time")
	// errOutrun ends an attempt whose hedge was answered.
	errOutrun = errors.New("the next region was faster")
)

// NeverSent says whether a call failed because no connection came about.
func NeverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// unanswered says whether an attempt brought no answer, so that another region
// may have one. A connection that takes too long to come about is a
// deadline_exceeded of connect.
func unanswered(err error) bool {
	return err != nil && (connect.CodeOf(err) == connect.CodeUnavailable || NeverSent(err))
}

// open says whether the server may have done what it was asked, as far as the
// error of an attempt tells.
func open(err error) bool { return !connect.IsWireError(err) && !NeverSent(err) }

// failure returns the error of a call that no region answered; why says what
// stopped it. With one region it is the error of the attempt. With several it has
// the reason of the first, and says how many were tried: in the text, and as
// "tried" and "regions" of its metadata.
func (c *call) failure(why string) error {
	all, tried := len(c.laps), 0
	for _, lap := range c.laps {
		tried += min(lap, 1)
	}
	if all == 1 && c.failed != nil {
		return c.failed
	}
	f := fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "the service cannot be reached").Retry(c.regions.options.Pause)
	switch {
	case c.failed == nil:
		f.Detail = "the service does not answer; calls to it are paused"
	case !c.reads && open(c.failed):
		f.Kind, f.Reason, f.Detail = fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN, "no answer came: the change may or may not be made"
	case connect.IsWireError(c.failed):
		said := faultconnect.FromConnect(c.failed)
		f.Reason, f.Detail, f.RetryAfter = said.Reason, said.Detail, max(c.regions.options.Pause, said.RetryAfter)
	}
	if all > 1 {
		f.Detail += fmt.Sprintf(" (regions tried: %d of %d; %s)", tried, all, why)
	}
	f = f.With("tried", strconv.Itoa(tried)).With("regions", strconv.Itoa(all))
	return faultconnect.ToConnect(f.Because(c.failed))
}

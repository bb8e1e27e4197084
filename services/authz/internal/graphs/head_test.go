package graphs

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Those who ask while a read is under way share the next one, never the one
// that began before they asked.
func TestHeadsShareTheNextRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			h       heads
			reads   atomic.Uint64
			release = make(chan struct{})
			answers = make(chan uint64, 100)
		)
		fetch := func(context.Context, string) (uint64, error) {
			n := reads.Add(1)
			<-release
			return n, nil
		}
		ask := func() {
			sequence, err := h.read(t.Context(), "a", fetch)
			if err != nil {
				t.Error(err)
			}
			answers <- sequence
		}
		go ask()
		synctest.Wait() // the first read is under way
		for range 99 {
			go ask()
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		byRead := map[uint64]int{}
		for range 100 {
			byRead[<-answers]++
		}
		if byRead[1] != 1 || byRead[2] != 99 || reads.Load() != 2 {
			t.Errorf("answers by read: %v after %d reads; want 1 by the first and 99 by the second", byRead, reads.Load())
		}
		if len(h.lanes) != 0 {
			t.Error("a lane is left")
		}
	})
}

func TestHeadsEndWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heads
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			_, err := h.read(ctx, "a", func(context.Context, string) (uint64, error) { <-release; return 0, nil })
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !fault.Is(err, commonv1.Reason_DEADLINE) {
			t.Errorf("got %v, want DEADLINE", err)
		}
		close(release)
	})
}

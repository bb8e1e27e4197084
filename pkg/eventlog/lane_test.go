package eventlog

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestLanesLetOneThrough(t *testing.T) {
	var (
		l       lanes
		wait    sync.WaitGroup
		inside  int // guarded by the lane: the race detector says if not
		entered int
	)
	for range 64 {
		wait.Go(func() {
			leave, err := l.enter(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			defer leave()
			if inside++; inside != 1 {
				t.Errorf("%d inside at once", inside)
			}
			entered++
			inside--
		})
	}
	wait.Wait()
	if entered != 64 || len(l.byLog) != 0 {
		t.Errorf("%d entered, %d lanes left; want 64 and none", entered, len(l.byLog))
	}
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	var l lanes
	leaveA, err := l.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	leaveB, err := l.enter(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	leaveA()
	leaveB()
}

func TestLaneIsLeftByWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		leave, err := l.enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := l.enter(ctx, "a")
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !fault.Is(err, commonv1.Reason_CANCELLED) {
			t.Errorf("got %v, want CANCELLED", err)
		}
		leave()
		if len(l.byLog) != 0 {
			t.Error("a lane is left")
		}
	})
}

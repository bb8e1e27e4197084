package principal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// A flood of made-up tokens, whose verifier is slow, takes no place of a token
// that is known: neither its question nor, when all places are taken, its answer.
func TestCacheFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		ctx, end := context.WithCancel(t.Context())
		slow := false
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(func(asking context.Context, bearer string) (principal.Principal, error) {
			if strings.HasPrefix(bearer, "made-up") || slow {
				<-asking.Done()
				return principal.Principal{}, asking.Err()
			}
			return u.verify(asking, bearer)
		}), Deadline: time.Hour})
		good := secret.NewString("good-0")
		if c.Remembers(good) {
			t.Error("an unknown token is remembered")
		}
		for i := range 100 {
			if err := verify(t, c, fmt.Sprintf("good-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			go func() { _, _ = c.Verify(ctx, secret.NewString(fmt.Sprintf("made-up-%d", i))) }()
		}
		synctest.Wait()
		pass(11 * time.Second) // every answer is older than its TTL
		asked := u.asked.Load()
		if err := verify(t, c, "good-0"); err != nil || u.asked.Load() != asked+1 {
			t.Errorf("a known token in a flood: %v, asked %d times", err, u.asked.Load()-asked)
		}
		if err := verify(t, c, "good-new"); !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
			t.Errorf("control: the flood does not fill the places: %v", err)
		}
		// All the places of known tokens are taken too.
		slow = true
		for i := 1; i <= 64; i++ {
			go func() { _, _ = c.Verify(ctx, secret.NewString(fmt.Sprintf("good-%d", i))) }()
		}
		synctest.Wait()
		if err := verify(t, c, "good-99"); err != nil {
			t.Errorf("a known token when no place is left: %v", err)
		}
		if !c.Remembers(good) || c.Remembers(secret.NewString("made-up-1")) {
			t.Error("what is remembered is wrong")
		}
		c.Drop("0")
		if c.Remembers(good) {
			t.Error("a revoked token is remembered")
		}
		end()
		pass(time.Hour)
	})
}

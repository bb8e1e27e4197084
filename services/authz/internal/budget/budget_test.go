package budget_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/budget"
)

func TestBudget(t *testing.T) {
	b := budget.New(100, 40)
	take := func(organization string, bytes int, granted bool) (giveBack func()) {
		t.Helper()
		giveBack, err := b.Take(organization, bytes)
		if granted != (err == nil) || err != nil && !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
			t.Errorf("%d bytes of %s: %v; granted: want %v", bytes, organization, err, granted)
		}
		return giveBack
	}
	first := take("a", 30, true)
	take("a", 11, false) // 41 of 40
	second := take("a", 10, true)
	take("b", 30, true)
	large := take("c", 500, true) // nobody's list is too large for ever
	take("c", 1, false)
	take("d", 1, false) // nothing is left
	take("b", 1, false)
	large()
	take("d", 30, true)
	take("d", 10, false) // 110 of 100
	first()
	second()
	take("a", 40, true)
	if b.Bytes() != 100 {
		t.Errorf("%d bytes are held, want 100", b.Bytes())
	}
}

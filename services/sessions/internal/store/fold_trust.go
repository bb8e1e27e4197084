package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
)

// trustFold rebuilds the rows of an organization's trusts.
type trustFold struct {
	organization string
	trusts       map[string]*trust.State
}

func newTrustFold(organization string) *trustFold {
	return &trustFold{organization: organization, trusts: map[string]*trust.State{}}
}

func (f *trustFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.TrustCreated:
		f.trusts[e.GetTrust()] = &trust.State{}
		f.trusts[e.GetTrust()].Apply(e)
	case *eventv1.TrustSettingsChanged:
		if t := f.trusts[e.GetTrust()]; t != nil {
			t.Apply(e)
		}
	case *eventv1.TrustDeleted:
		delete(f.trusts, e.GetTrust())
	default:
		return false
	}
	return true
}

func (f *trustFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := ListTrusts(ctx, q, f.organization, "", trust.Limit+1)
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if want := f.trusts[row.ID]; want == nil || !row.Equal(*want) {
			return fmt.Sprintf("trust row %s differs from the log", row.ID), nil
		}
	}
	if len(rows) != len(f.trusts) {
		return fmt.Sprintf("%d trust rows, log says %d", len(rows), len(f.trusts)), nil
	}
	return "", nil
}

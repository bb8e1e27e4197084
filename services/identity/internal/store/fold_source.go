package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/source"
)

// sourceFold rebuilds the rows of the sources, whose events are in the platform's
// log.
type sourceFold struct{ sources map[string]*source.State }

func newSourceFold() *sourceFold { return &sourceFold{sources: map[string]*source.State{}} }

func (f *sourceFold) apply(event proto.Message) bool {
	e, ok := event.(*eventv1.SourceChanged)
	if !ok {
		return false
	}
	s := f.sources[e.GetSource()]
	if s == nil {
		s = &source.State{}
		f.sources[e.GetSource()] = s
	}
	s.Apply(e)
	return true
}

func (f *sourceFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := ListSources(ctx, q)
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		switch want := f.sources[row.Name]; {
		case want == nil:
			return fmt.Sprintf("source row %s is not in the log", row.Name), nil
		case row.State != *want:
			return fmt.Sprintf("source row %s differs from the log", row.Name), nil
		}
	}
	if len(rows) != len(f.sources) {
		return fmt.Sprintf("%d source rows, the log has %d", len(rows), len(f.sources)), nil
	}
	return "", nil
}

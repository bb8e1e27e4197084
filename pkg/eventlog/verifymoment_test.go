package eventlog_test

import (
	"context"
	"testing"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// writingRows is nameRows with writes at the worst moments: after the last event
// of the first pass, and between the head and the rows.
type writingRows struct {
	nameRows
	v     *verified
	after uint64
}

type writingFolding struct {
	eventlog.Folding
	rows writingRows
}

func (w writingRows) Start(log string) eventlog.Folding {
	return &writingFolding{w.nameRows.Start(log), w}
}

func (w *writingFolding) Apply(r eventlog.Recorded) error {
	err := w.Folding.Apply(r)
	if err == nil && r.Envelope.GetSequence() == w.rows.after {
		err = w.rows.v.write(context.Background(), 2)
	}
	return err
}

func (w *writingFolding) Compare(ctx context.Context, q sqldb.Querier) (string, error) {
	if err := w.rows.v.write(ctx, 2); err != nil {
		return "", err
	}
	return w.Folding.Compare(ctx, q)
}

func TestVerifyComparesHeadAndRowsOfOneMoment(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	v.prepare(t)
	v.verifier.Folds = []eventlog.Fold{writingRows{v: v, after: 10}}
	if r := v.verify(t); r.Difference != nil || r.Head != 12 || r.Events != 12 {
		t.Errorf("%+v", r)
	}
}

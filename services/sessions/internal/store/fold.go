package store

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Fold rebuilds the sessions rows of one log, to compare them with the tables.
type Fold struct{}

// Name implements eventlog.Fold.
func (Fold) Name() string { return "sessions" }

// Start implements eventlog.Fold: every log has sessions rows.
func (Fold) Start(log string) eventlog.Folding {
	switch {
	case log == id.Platform:
		return &folding{parts: []aggregate{newClientFold(""), newSigningKeyFold(), newCutoffFold(), newBlockFold("")}}
	case strings.HasPrefix(log, string(id.Organization)):
		return &folding{parts: []aggregate{newClientFold(log), newTrustFold(log), newCutoffFold(), &themeFold{organization: log}, newBlockFold(log)}}
	case strings.HasPrefix(log, string(id.User)):
		return &folding{parts: []aggregate{newSessionFold(log), newGrantFold(log), newConsentFold(log)}}
	default:
		return nil
	}
}

// aggregate rebuilds the rows of one kind of thing in a log.
type aggregate interface {
	// apply folds an event, and says whether it is one of this kind of thing.
	apply(event proto.Message) bool
	// compare says how the rows differ from what was folded, "" when they do not.
	compare(ctx context.Context, q sqldb.Querier) (string, error)
}

// folding is all that a log has rows of.
type folding struct {
	parts []aggregate
	// erased: the log is that of a user who is gone, and whose rows are, or will be.
	erased bool
}

// Apply implements eventlog.Folding.
func (f *folding) Apply(r eventlog.Recorded) error {
	if !strings.HasPrefix(r.Envelope.GetType(), "meridian.sessions.event.v1.") {
		f.erased = f.erased || r.Envelope.GetType() == "meridian.identity.event.v1.UserErased"
		return nil
	}
	event, err := r.Message()
	if err != nil {
		return err
	}
	known := false
	for _, a := range f.parts {
		known = a.apply(event) || known
	}
	if !known {
		return fmt.Errorf("fold of sessions does not know %s", r.Envelope.GetType())
	}
	return nil
}

// Compare implements eventlog.Folding.
func (f *folding) Compare(ctx context.Context, q sqldb.Querier) (string, error) {
	if f.erased {
		return "", nil
	}
	for _, a := range f.parts {
		if difference, err := a.compare(ctx, q); err != nil || difference != "" {
			return difference, err
		}
	}
	return "", nil
}

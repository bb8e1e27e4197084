package store

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
)

// Fold rebuilds the identity rows of one log, to compare them with the tables.
type Fold struct {
	// Log opens personal data, where this region can. Nil: it is not compared.
	Log *eventlog.Store
	// Blind is what addresses are found by. Zero: they are not compared.
	Blind blind.Key
}

// Name implements eventlog.Fold.
func (Fold) Name() string { return "identity" }

// Start implements eventlog.Fold: every log has identity rows.
func (f Fold) Start(log string) eventlog.Folding {
	switch {
	case log == id.Platform:
		return folding{newTokenFold(""), newSourceFold()}
	case strings.HasPrefix(log, string(id.Organization)):
		return folding{
			&organizationFold{log: log}, newTokenFold(log), newMembershipFold(log), newServiceAccountFold(log), newGroupFold(log),
			newDomainFold(log),
			newInvitationFold(log),
		}
	case strings.HasPrefix(log, string(id.User)):
		return folding{
			&userFold{log: log, store: f.Log, blind: f.Blind}, newCredentialFold(log, f.Log),
			&linkFold{log: log, store: f.Log, blind: f.Blind},
		}
	default:
		return nil
	}
}

// opener is an aggregate that opens the personal data of its events.
type opener interface {
	// recorded takes each event that apply knew, sealed as it was recorded.
	recorded(r eventlog.Recorded, event proto.Message)
}

// aggregate rebuilds the rows of one kind of thing in a log.
type aggregate interface {
	// apply folds an event, and says whether it is one of this kind of thing.
	apply(event proto.Message) bool
	// compare says how the rows differ from what was folded, "" when they do not.
	compare(ctx context.Context, q sqldb.Querier) (string, error)
}

// folding is all that a log has rows of.
type folding []aggregate

// Apply implements eventlog.Folding.
func (f folding) Apply(r eventlog.Recorded) error {
	if !strings.HasPrefix(r.Envelope.GetType(), "meridian.identity.event.v1.") {
		return nil
	}
	event, err := r.Message()
	if err != nil {
		return err
	}
	known := false
	for _, a := range f {
		if !a.apply(event) {
			continue
		}
		known = true
		if o, ok := a.(opener); ok {
			o.recorded(r, event)
		}
	}
	if !known {
		return fmt.Errorf("fold of identity does not know %s", r.Envelope.GetType())
	}
	return nil
}

// Compare implements eventlog.Folding.
func (f folding) Compare(ctx context.Context, q sqldb.Querier) (string, error) {
	for _, a := range f {
		if difference, err := a.compare(ctx, q); err != nil || difference != "" {
			return difference, err
		}
	}
	return "", nil
}

package commit

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// AtLeast is a request for rows that are as new as a revision token asks.
type AtLeast interface{ GetAtLeast() string }

// Fresh says whether rows that are read by q from now on are as new as a revision
// token asks. Events and rows have one commit, so they are once the logs have got
// that far; no token asks for nothing.
//
// A caller who reaches one organization only, and the subject of a call, as a user for
// whom it is made, learn of that organization's log: what the token says of others is not looked at.
//
// Errors: REVISION_MALFORMED; REVISION_UNKNOWN for a revision that its log has not
// reached, or a log that there is not. Both name the field at_least.
func Fresh(ctx context.Context, log *eventlog.Store, q sqldb.Querier, req AtLeast) error {
	token := req.GetAtLeast()
	if token == "" {
		return nil
	}
	revisions, err := revision.Parse(token)
	if err != nil {
		return fault.New(fault.Invalid, commonv1.Reason_REVISION_MALFORMED, "at_least is not a revision token").
			With("field", "at_least").With("rule", "revision_token")
	}
	caller, err := principal.Require(ctx)
	if err != nil {
		return err
	}
	reached := caller.Organization
	if of, ok := req.(interface{ GetOrganization() string }); ok && caller.Subject() != "" {
		reached = of.GetOrganization()
	}
	for _, r := range revisions {
		if reached != "" && r.Log != reached {
			continue
		}
		head, err := log.Head(ctx, q, r.Log)
		switch {
		case fault.Is(err, commonv1.Reason_NOT_FOUND):
			return unknownRevision()
		case err != nil:
			return err
		case head.Sequence < r.Sequence:
			return unknownRevision()
		}
	}
	return nil
}

func unknownRevision() error {
	return fault.New(fault.Precondition, commonv1.Reason_REVISION_UNKNOWN, "at_least names a revision that its log has not reached").
		With("field", "at_least")
}

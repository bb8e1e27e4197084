package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

// Fold rebuilds the identity rows of one log, to compare them with the tables.
type Fold struct{}

// Name implements eventlog.Fold.
func (Fold) Name() string { return "identity" }

// Start implements eventlog.Fold: the platform's log and those of
// organizations have identity rows.
func (Fold) Start(log string) eventlog.Folding {
	if log != id.Platform && !strings.HasPrefix(log, string(id.Organization)) {
		return nil
	}
	return &folding{log: log, tokens: map[string]*apitoken.State{}}
}

type folding struct {
	log          string
	organization organization.State
	tokens       map[string]*apitoken.State
}

// Apply implements eventlog.Folding.
func (f *folding) Apply(r eventlog.Recorded) error {
	if !strings.HasPrefix(r.Envelope.GetType(), "meridian.identity.event.v1.") {
		return nil
	}
	event, err := r.Message()
	if err != nil {
		return err
	}
	switch e := event.(type) {
	case *eventv1.OrganizationCreated, *eventv1.OrganizationHomeMoved:
		f.organization.Apply(e)
	case *eventv1.ApiTokenCreated:
		f.tokens[e.GetToken()] = &apitoken.State{}
		f.tokens[e.GetToken()].Apply(e)
	case *eventv1.ApiTokenRevoked:
		if t := f.tokens[e.GetToken()]; t != nil {
			t.Apply(e)
		}
	default:
		return fmt.Errorf("fold of identity does not know %s", r.Envelope.GetType())
	}
	return nil
}

// Compare implements eventlog.Folding.
func (f *folding) Compare(ctx context.Context, q sqldb.Querier) (string, error) {
	owner := ""
	if f.log != id.Platform {
		owner = f.log
		row, err := FindOrganization(ctx, q, f.log)
		if err != nil {
			return fmt.Sprintf("organization row: %v", err), nil
		}
		if row.State != f.organization {
			return fmt.Sprintf("organization row %+v, log says %+v", row.State, f.organization), nil
		}
	}
	return f.compareTokens(ctx, q, owner)
}

func (f *folding) compareTokens(ctx context.Context, q sqldb.Querier, owner string) (string, error) {
	const page = 1000
	rows := 0
	for before := ""; ; {
		tokens, err := ListAPITokens(ctx, q, owner, before, page)
		if err != nil {
			return "", err
		}
		for _, row := range tokens {
			want := f.tokens[row.ID]
			switch {
			case want == nil:
				return fmt.Sprintf("token row %s is not in the log", row.ID), nil
			case !row.ExpiresAt.Equal(want.ExpiresAt) || row.Level != want.Level || row.Revoked != want.Revoked || row.Name != want.Name:
				return fmt.Sprintf("token row %s differs from the log", row.ID), nil
			}
		}
		rows += len(tokens)
		if len(tokens) < page {
			break
		}
		before = tokens[len(tokens)-1].ID
	}
	if rows != len(f.tokens) {
		return fmt.Sprintf("%d token rows, log says %d", rows, len(f.tokens)), nil
	}
	return "", nil
}

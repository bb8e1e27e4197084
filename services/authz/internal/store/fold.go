package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
)

// Fold rebuilds the authz rows of one log, to compare them with the tables.
type Fold struct{}

// Name implements eventlog.Fold.
func (Fold) Name() string { return "authz" }

// Start implements eventlog.Fold: models are in the platform's log,
// relationships and assignments in those of organizations.
func (Fold) Start(log string) eventlog.Folding {
	if log != id.Platform && !strings.HasPrefix(log, string(id.Organization)) {
		return nil
	}
	return &folding{
		log: log, models: map[string]Model{}, roles: map[string]Role{}, relationships: map[authzcore.Relationship]authzcore.Terms{},
	}
}

type folding struct {
	log           string
	models        map[string]Model // without files
	assigned      Assignment
	roles         map[string]Role
	relationships map[authzcore.Relationship]authzcore.Terms
}

// Apply implements eventlog.Folding.
func (f *folding) Apply(r eventlog.Recorded) error {
	if !strings.HasPrefix(r.Envelope.GetType(), "meridian.authz.event.v1.") {
		return nil
	}
	event, err := r.Message()
	if err != nil {
		return err
	}
	switch e := event.(type) {
	case *eventv1.ModelPublished:
		f.models[e.GetModel()] = Model{ID: e.GetModel(), Name: e.GetName(), State: model.Draft}
	case *eventv1.ModelStateChanged:
		m := f.models[e.GetModel()]
		m.State = e.GetState()
		m.Audience = model.Audience{Organizations: e.GetOrganizations(), BasisPoints: e.GetBasisPoints()}
		f.models[e.GetModel()] = m
	case *eventv1.ModelAssigned:
		f.assigned = Assignment{Model: e.GetModel(), Line: e.GetLine(), Sequence: r.Envelope.GetSequence()}
	case *eventv1.RoleDefined:
		f.roles[e.GetRole()] = Role{ID: e.GetRole(), Name: e.GetName(), Description: e.GetDescription()}
	case *eventv1.RoleDeleted:
		delete(f.roles, e.GetRole())
	case *eventv1.RelationshipsWritten:
		for _, c := range e.GetChanges() {
			r, err := relationship.Recorded(c)
			if err != nil {
				return err
			}
			if c.GetDeleted() {
				delete(f.relationships, r)
			} else {
				f.relationships[r.Key()] = r.Terms
			}
		}
	default:
		return fmt.Errorf("fold of authz does not know %s", r.Envelope.GetType())
	}
	return nil
}

// Compare implements eventlog.Folding.
func (f *folding) Compare(ctx context.Context, q sqldb.Querier) (string, error) {
	if f.log == id.Platform {
		return f.compareModels(ctx, q)
	}
	for _, compare := range []func(context.Context, sqldb.Querier) (string, error){
		f.compareAssignment, f.compareRoles, f.compareRelationships,
	} {
		if difference, err := compare(ctx, q); err != nil || difference != "" {
			return difference, err
		}
	}
	return "", nil
}

var errDifferent = errors.New("different")

func (f *folding) compareRelationships(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, difference := 0, ""
	err := EachRelationship(ctx, q, f.log, func(r authzcore.Relationship) error {
		rows++
		switch terms, ok := f.relationships[r.Key()]; {
		case !ok:
			difference = fmt.Sprintf("relationship row %s is not in the log", r)
		case terms != r.Terms:
			difference = fmt.Sprintf("relationship row %s has other terms than the log", r)
		default:
			return nil
		}
		return errDifferent
	})
	switch {
	case errors.Is(err, errDifferent):
		return difference, nil
	case err != nil:
		return "", err
	case rows != len(f.relationships):
		return fmt.Sprintf("%d relationship rows, log says %d", rows, len(f.relationships)), nil
	}
	return "", nil
}

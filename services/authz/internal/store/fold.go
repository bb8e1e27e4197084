package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
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
	return &folding{log: log, models: map[string]bool{}, relationships: map[authzcore.Relationship]authzcore.Terms{}}
}

type folding struct {
	log           string
	models        map[string]bool
	assigned      string
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
		f.models[e.GetModel()] = true
	case *eventv1.ModelAssigned:
		f.assigned = e.GetModel()
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
	assignment, err := FindAssignment(ctx, q, f.log)
	switch {
	case fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED) && f.assigned == "":
	case fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED):
		return "assignment row is missing", nil
	case err != nil:
		return "", err
	case assignment.Model != f.assigned:
		return fmt.Sprintf("assignment row says %s, log says %s", assignment.Model, f.assigned), nil
	}
	return f.compareRelationships(ctx, q)
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

func (f *folding) compareModels(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := q.Query(ctx, `SELECT model_id FROM authz.models`)
	if err != nil {
		return "", fmt.Errorf("read models: %w", err)
	}
	defer rows.Close()
	count := 0
	for rows.Next() {
		var model string
		if err := rows.Scan(&model); err != nil {
			return "", fmt.Errorf("read models: %w", err)
		}
		if count++; !f.models[model] {
			return fmt.Sprintf("model row %s is not in the log", model), nil
		}
	}
	if count != len(f.models) {
		return fmt.Sprintf("%d model rows, log says %d", count, len(f.models)), nil
	}
	return "", rows.Err()
}

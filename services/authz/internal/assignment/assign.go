// Package assignment gives organizations the models that they use.
package assignment

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// Assigner assigns models.
type Assigner struct {
	Log    *eventlog.Store
	Models *models.Registry
	Graphs *graphs.Registry
}

// Command is what an organization is to use: a model, or what a line has for it.
type Command struct {
	Organization string
	// Model to stay with. Empty: follow Line.
	Model string
	Line  string
	// Following does nothing to an organization that does not follow Line.
	Following bool
	// AllowOrphans assigns whatever is stored.
	AllowOrphans bool
	Actor        *logv1.Actor
	Cause        string
}

// Result is what an organization uses.
type Result struct {
	Model    string
	Revision revision.Revision
	// Changed: an event was recorded.
	Changed bool
}

// maxSurveys is how often relationships are looked at anew because the
// organization, or the line, changed meanwhile.
const maxSurveys = 5

// Assign gives an organization its model, in one commit for each request; answer
// is called inside the transaction, and fills the request's outcome.
//
// The stored relationships are looked at before the transaction, and only those
// written since are looked at in it: a large organization's writers do not wait.
//
// Errors: NOT_FOUND (the model, the line or the organization), MODEL_STATE,
// MODEL_ORPHANS; CONFLICT when the organization changed again and again; those
// of freshness and of Commit. None of them changes anything.
func (a *Assigner) Assign(ctx context.Context, request eventlog.Request, c Command, answer func(Result) error) error {
	request.Log = c.Organization
	var seen *survey
	for range maxSurveys {
		_, err := a.Log.Commit(ctx, request, func(ctx context.Context, tx pgx.Tx) error {
			result, err := a.assign(ctx, tx, c, seen)
			if err != nil {
				return err
			}
			return answer(result)
		})
		needed, ok := errors.AsType[*unsurveyedError](err)
		if !ok {
			return err
		}
		if seen, err = a.look(ctx, c.Organization, needed); err != nil {
			return fmt.Errorf("look for orphans: %w", err)
		}
	}
	return fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "the organization's relationships change faster than they can be looked at; try again")
}

// assign decides and records, inside the transaction.
func (a *Assigner) assign(ctx context.Context, tx pgx.Tx, c Command, seen *survey) (Result, error) {
	head, err := Lock(ctx, a.Log, tx, c.Organization)
	if err != nil {
		return Result{}, err
	}
	if first, err := a.first(ctx, tx, head, c); err != nil || first.Changed {
		return first, err
	}
	current, err := store.FindAssignment(ctx, tx, c.Organization)
	if err != nil && !fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED) {
		return Result{}, err
	}
	unchanged := Result{Model: current.Model, Revision: revision.Revision{Log: c.Organization, Sequence: head.Sequence}}
	if c.Following && current.Line != c.Line {
		return unchanged, nil
	}
	target, err := choose(ctx, tx, c, current)
	if err != nil {
		return Result{}, err
	}
	if current.Model == target && current.Line == c.Line {
		return unchanged, nil
	}
	if current.Model != "" && current.Model != target && !c.AllowOrphans {
		if err := a.keeps(ctx, tx, head, current.Model, target, seen); err != nil {
			return Result{}, err
		}
	}
	if err := store.PutAssignment(ctx, tx, c.row(head, target)); err != nil {
		return Result{}, err
	}
	return a.record(ctx, tx, head, c, target)
}

// first assigns a model to an organization that has none. Nothing is changed
// when it has one, or when what it would get is not to be had.
func (a *Assigner) first(ctx context.Context, tx pgx.Tx, head eventlog.Head, c Command) (Result, error) {
	if c.Following {
		return Result{}, nil // it has one
	}
	target, err := choose(ctx, tx, c, store.Assignment{})
	if _, refused := fault.As(err); refused {
		return Result{}, nil // decided again, by what it has
	}
	if err != nil {
		return Result{}, err
	}
	inserted, err := store.InsertAssignment(ctx, tx, c.row(head, target))
	if err != nil || !inserted {
		return Result{}, err
	}
	return a.record(ctx, tx, head, c, target)
}

// row is the assignment that the event after head makes.
func (c Command) row(head eventlog.Head, target string) store.Assignment {
	return store.Assignment{
		Organization: c.Organization, HomeRegion: head.HomeRegion, Model: target, Line: c.Line, Sequence: head.Sequence + 1,
	}
}

// record appends the event after head.
func (a *Assigner) record(ctx context.Context, tx pgx.Tx, head eventlog.Head, c Command, target string) (Result, error) {
	rev, err := a.Log.Append(ctx, tx, eventlog.Append{
		Log: c.Organization, Expected: head.Sequence, Actor: c.Actor, Cause: c.Cause,
		Events: []proto.Message{&eventv1.ModelAssigned{Model: target, Line: c.Line}},
	})
	if err != nil {
		return Result{}, err
	}
	return Result{Model: target, Revision: rev, Changed: true}, nil
}

// choose returns the model to use.
func choose(ctx context.Context, tx pgx.Tx, c Command, current store.Assignment) (string, error) {
	if c.Model != "" {
		state, err := store.FindModelState(ctx, tx, c.Model)
		if err == nil && state == model.Retired && (current.Model != c.Model || current.Line != "") {
			return "", model.Retirement()
		}
		return c.Model, err
	}
	line, err := store.FindLine(ctx, tx, c.Line)
	if err != nil {
		return "", err
	}
	if target := line.For(c.Organization); target != "" {
		return target, nil
	}
	found, err := store.NameExists(ctx, tx, c.Line)
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no model has this name")
	default:
		return "", model.Inactive(c.Line)
	}
}

// Lock locks an organization's log and reads its head.
//
// Errors: NOT_FOUND for an absent organization.
func Lock(ctx context.Context, log *eventlog.Store, tx pgx.Tx, organization string) (eventlog.Head, error) {
	head, err := log.Lock(ctx, tx, organization)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return eventlog.Head{}, principal.OrganizationNotFound()
	}
	return head, err
}

package rpc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/assignment"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/lanes"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// Relationships serves RelationshipService.
type Relationships struct {
	authzv1connect.UnimplementedRelationshipServiceHandler

	DB     *sqldb.DB
	Log    *eventlog.Store
	Models *models.Registry
	Graphs *graphs.Registry
	// Lanes bounds how many look at a whole graph at once; lists share it.
	Lanes *lanes.Lanes
	// Follower feeds watchers.
	Follower *project.Follower
	Clock    func() time.Time
	// WatchRetention is how old an event may be that a watcher is still sent.
	WatchRetention time.Duration
}

var _ authzv1connect.RelationshipServiceHandler = (*Relationships)(nil)

// WriteRelationships implements RelationshipService.
func (s *Relationships) WriteRelationships(
	ctx context.Context, req *authzv1.WriteRelationshipsRequest,
) (*authzv1.WriteRelationshipsResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	command, filters, err := parseWrite(req)
	if err != nil {
		return nil, err
	}
	out := &authzv1.WriteRelationshipsResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: req.GetOrganization(),
		Procedure: authzv1connect.RelationshipServiceWriteRelationshipsProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		return s.write(ctx, tx, req.GetOrganization(), command, filters, caller, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func parseWrite(req *authzv1.WriteRelationshipsRequest) (relationship.Write, []store.Filter, error) {
	var (
		command relationship.Write
		filters []store.Filter
	)
	for i, u := range req.GetUpdates() {
		r, err := parseRelationship(u.GetRelationship())
		if err != nil {
			return command, nil, relationshipFault(err, fmt.Sprintf("updates[%d].relationship.", i))
		}
		if err := written(r, fmt.Sprintf("updates[%d].relationship", i)); err != nil {
			return command, nil, err
		}
		command.Updates = append(command.Updates, relationship.Update{Operation: u.GetOperation(), Relationship: r})
	}
	for i, p := range req.GetPreconditions() {
		f := p.GetFilter()
		if err := parseConditionFilter(f); err != nil {
			return command, nil, engineFault(err, fmt.Sprintf("preconditions[%d].filter.", i))
		}
		// Rows hold what was written only: a fact of identity would never match.
		r := authzcore.Relationship{Resource: f.GetResource(), Relation: f.GetRelation()}
		if err := written(r, fmt.Sprintf("preconditions[%d].filter", i)); err != nil {
			return command, nil, err
		}
		filters = append(filters, store.Filter{Resource: f.GetResource(), Relation: f.GetRelation(), Subject: f.GetSubject()})
		command.MustMatch = append(command.MustMatch, p.GetMustMatch())
	}
	return command, filters, nil
}

// written refuses a relationship that is a fact of identity, and not written here.
//
// Errors: RELATIONSHIP_DERIVED.
func written(r authzcore.Relationship, field string) error {
	if !facts.Derived(r.Resource, r.Relation) {
		return nil
	}
	return fault.New(fault.Precondition, commonv1.Reason_RELATIONSHIP_DERIVED,
		field+": is a fact of identity: change memberships, groups and service accounts there").With("field", field)
}

// parseConditionFilter checks the form of a precondition's filter: a full
// resource, and whole or no relation and subject.
func parseConditionFilter(f *authzv1.RelationshipFilter) error {
	if _, err := authzcore.ParseObject(f.GetResource()); err != nil {
		return err
	}
	relation, subject := f.GetRelation(), f.GetSubject()
	if relation == "" {
		relation = "any"
	}
	if subject == "" {
		subject = "any:*"
	}
	return authzcore.ParseRelationship(authzcore.Relationship{Resource: f.GetResource(), Relation: relation, Subject: subject})
}

// known checks that the model has a filter's type and relation: a condition on
// a misspelt one would hold in vain.
func known(model *authzcore.Model, f store.Filter) error {
	typ, _, _ := strings.Cut(f.Resource, ":")
	switch {
	case !slices.Contains(model.Types(), typ):
		return &authzcore.TypeUnknownError{Field: "resource", Type: typ}
	case f.Relation != "" && !slices.Contains(model.Relations(typ), f.Relation):
		return &authzcore.RelationUnknownError{Field: "relation", Type: typ, Relation: f.Relation}
	}
	return nil
}

// write decides and commits, inside the transaction.
func (s *Relationships) write(
	ctx context.Context, tx pgx.Tx, organization string, command relationship.Write, filters []store.Filter,
	caller principal.Principal, out *authzv1.WriteRelationshipsResponse,
) error {
	home, model, err := s.assigned(ctx, tx, organization)
	if err != nil {
		return err
	}
	for i, u := range command.Updates {
		if u.Operation == authzv1.Operation_OPERATION_DELETE {
			continue // what an older model allowed can be removed under a newer one
		}
		if err := model.Validate(u.Relationship); err != nil {
			return relationshipFault(err, fmt.Sprintf("updates[%d].relationship.", i))
		}
	}
	for i, f := range filters {
		if err := known(model, f); err != nil {
			return engineFault(err, fmt.Sprintf("preconditions[%d].filter.", i))
		}
	}
	outcome, err := s.change(ctx, tx, organization, home, command, filters)
	if err != nil {
		return err
	}
	out.Effects = outcome.Effects
	out.Revision, err = s.record(ctx, tx, organization, caller, outcome)
	return err
}

// change decides a write and applies it to the rows.
//
// What has no row is inserted before anything is decided, and taken back with
// the transaction if the decision is no: looking for it first would, on
// PostgreSQL, lock the pages of the index where it is not, and there the next
// organization's are.
func (s *Relationships) change(
	ctx context.Context, tx pgx.Tx, organization, homeRegion string, command relationship.Write, filters []store.Filter,
) (relationship.Outcome, error) {
	state := relationship.State{Matches: make([]bool, len(filters)), At: s.Clock()}
	for i, f := range filters {
		var err error
		if state.Matches[i], err = store.Matches(ctx, tx, organization, f, state.At); err != nil {
			return relationship.Outcome{}, err
		}
	}
	inserted, err := store.Insert(ctx, tx, organization, homeRegion, command.Given())
	if err != nil {
		return relationship.Outcome{}, err
	}
	if state.Present, err = store.Present(ctx, tx, organization, store.Without(command.Named(), inserted)); err != nil {
		return relationship.Outcome{}, err
	}
	outcome, err := command.Decide(state)
	if err != nil {
		return relationship.Outcome{}, err
	}
	if err := store.Delete(ctx, tx, organization, outcome.Deleted); err != nil {
		return relationship.Outcome{}, err
	}
	_, err = store.Update(ctx, tx, organization, homeRegion, store.Without(outcome.Written(), inserted))
	return outcome, err
}

// record appends what changed, after other events of the same commit, and
// returns the token of the log's head.
func (s *Relationships) record(
	ctx context.Context, tx pgx.Tx, organization string, caller principal.Principal, o relationship.Outcome, others ...proto.Message,
) (string, error) {
	events, err := relationship.Events(o.Written(), o.Deleted, nil)
	if err != nil {
		return "", err
	}
	events = append(others, events...)
	if len(events) == 0 {
		head, err := s.Log.Head(ctx, tx, organization)
		if err != nil {
			return "", err
		}
		return revision.Token(revision.Revision{Log: organization, Sequence: head.Sequence})
	}
	rev, err := s.Log.Append(ctx, tx, eventlog.Append{
		Log: organization, Expected: eventlog.AnyHead, Actor: caller.Actor(), Events: events,
	})
	if err != nil {
		return "", err
	}
	return revision.Token(rev)
}

// assigned locks an organization's log, and returns its home region and the model
// that the organization uses.
//
// Errors: NOT_FOUND for an absent organization, MODEL_NOT_ASSIGNED.
func (s *Relationships) assigned(
	ctx context.Context, tx pgx.Tx, organization string,
) (home string, model *authzcore.Model, err error) {
	head, err := assignment.Lock(ctx, s.Log, tx, organization)
	if err != nil {
		return "", nil, err
	}
	current, err := store.FindAssignment(ctx, tx, organization)
	if err != nil {
		return "", nil, err
	}
	model, err = s.Models.Get(ctx, current.Model)
	return head.HomeRegion, model, err
}

const standardRelationships = 100

// turn waits for the organization's turn to read what only a look at the whole
// graph finds; leave ends it.
//
// Errors: RATE_LIMITED.
func (s *Relationships) turn(ctx context.Context, organization string, f authzcore.Filter) (leave func(), err error) {
	if f.Anchored() {
		return func() {}, nil
	}
	return s.Lanes.Enter(ctx, organization)
}

// ReadRelationships implements RelationshipService.
func (s *Relationships) ReadRelationships(
	ctx context.Context, req *authzv1.ReadRelationshipsRequest,
) (*authzv1.ReadRelationshipsResponse, error) {
	f := authzcore.Filter{
		Resource: req.GetFilter().GetResource(), Relation: req.GetFilter().GetRelation(), Subject: req.GetFilter().GetSubject(),
	}
	query := strings.Join([]string{"relationships", req.GetOrganization(), f.Resource, f.Relation, f.Subject}, "\n")
	position, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	view, evaluated, err := viewOf(ctx, s.Graphs, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	var after authzcore.Relationship
	if parts := strings.Split(position, "\n"); len(parts) == 3 {
		after = authzcore.Relationship{Resource: parts[0], Relation: parts[1], Subject: parts[2]}
	}
	leave, err := s.turn(ctx, req.GetOrganization(), f)
	if err != nil {
		return nil, err
	}
	found, more, err := view.Read(ctx, f, after, page.Size(req.GetPageSize(), standardRelationships))
	leave()
	if err != nil {
		return nil, engineFault(err, "filter.")
	}
	if len(found) == 0 && req.GetCursor() == "" {
		if err := ofModel(view.Model(), f, "filter."); err != nil {
			return nil, err
		}
	}
	out := &authzv1.ReadRelationshipsResponse{EvaluatedAt: evaluated}
	if out.Relationships, err = relationshipMessages(found); err != nil {
		return nil, err
	}
	if len(out.GetRelationships()) < len(found) {
		found, more = found[:len(out.GetRelationships())], true
	}
	if more {
		last := found[len(found)-1]
		out.NextCursor = page.Cursor(query, strings.Join([]string{last.Resource, last.Relation, last.Subject}, "\n"))
	}
	return out, nil
}

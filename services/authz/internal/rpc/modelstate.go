package rpc

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// SetModelState implements ModelService.
func (s *Models) SetModelState(ctx context.Context, req *authzv1.SetModelStateRequest) (*authzv1.SetModelStateResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	command, err := parseState(req)
	if err != nil {
		return nil, err
	}
	out := &authzv1.SetModelStateResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: id.Platform,
		Procedure: authzv1connect.ModelServiceSetModelStateProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		return s.setState(ctx, tx, req.GetModel(), command, caller, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func parseState(req *authzv1.SetModelStateRequest) (model.SetState, error) {
	command := model.SetState{To: eventv1.ModelState(req.GetState())}
	switch canary := req.GetCanary(); {
	case canary == nil && command.To == model.Canary:
		return command, fault.Field("canary", "required", "is required: whom is the canary for?")
	case canary != nil && command.To != model.Canary:
		return command, fault.Field("canary", "absent", "is for MODEL_STATE_CANARY only")
	case canary != nil:
		organizations := slices.Clone(canary.GetOrganizations())
		slices.Sort(organizations)
		command.Audience = model.Audience{Organizations: slices.Compact(organizations), BasisPoints: canary.GetBasisPoints()}
	}
	return command, nil
}

// setState decides and records, and asks for the organizations that follow the
// line to be moved.
func (s *Models) setState(
	ctx context.Context, tx pgx.Tx, modelID string, command model.SetState, caller principal.Principal, out *authzv1.SetModelStateResponse,
) error {
	head, err := s.Log.Lock(ctx, tx, id.Platform)
	if err != nil {
		return err
	}
	found, err := store.FindModel(ctx, tx, modelID)
	if err != nil {
		return err
	}
	state, err := lifeOf(ctx, tx, found)
	if err != nil {
		return err
	}
	events, err := command.Decide(state)
	if err != nil {
		return err
	}
	rev := revision.Revision{Log: id.Platform, Sequence: head.Sequence}
	if len(events) > 0 {
		rev, err = s.Log.Append(ctx, tx, eventlog.Append{
			Log: id.Platform, Expected: eventlog.AnyHead, Actor: caller.Actor(), Events: events,
		})
		if err != nil {
			return err
		}
		for _, event := range events {
			if changed, ok := event.(*eventv1.ModelStateChanged); ok {
				if err := store.ApplyModelState(ctx, tx, changed); err != nil {
					return err
				}
			}
		}
		found.State, found.Audience = command.To, command.Audience
	}
	if state.Follower != "" {
		if err := store.StartRollout(ctx, tx, found.Name, rev.Sequence); err != nil {
			return err
		}
	}
	found.Files = nil
	out.Model = modelMessage(found)
	out.Revision, err = revision.Token(rev)
	return err
}

// lifeOf reads what a step of a model needs to know.
func lifeOf(ctx context.Context, tx pgx.Tx, m store.Model) (state model.State, err error) {
	state = model.State{Model: m.ID, State: m.State, Audience: m.Audience}
	if state.Line, err = store.FindLine(ctx, tx, m.Name); err != nil {
		return state, err
	}
	state.Pinned, state.Follower, err = store.FindUsers(ctx, tx, m.ID, m.Name)
	return state, err
}

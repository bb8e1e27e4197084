package assignment

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

const head = "model\n  schema 1.1\ntype user\ntype group\n  relations\n    define member: [user]\ntype document\n  relations\n"

// A survey and what was written since say together what a change of model would
// lose; what they cannot say is asked for.
func TestKeeps(t *testing.T) {
	db := sqltest.New(t)
	log := eventlog.New(eventlog.Config{DB: db, Region: "eu-west"})
	sources := map[string]string{}
	a := &Assigner{Log: log, Models: models.New(authzcore.NewNames(), func(_ context.Context, model string) ([]*eventv1.ModelFile, error) {
		return []*eventv1.ModelFile{{Path: "m.fga", Content: sources[model]}}, nil
	})}
	add := func(source string) string {
		m, err := authzcore.Compile(authzcore.NewNames(), []authzcore.File{{Path: "m.fga", Content: source}})
		if err != nil {
			t.Fatal(err)
		}
		sources[m.ID()] = source
		return m.ID()
	}
	shared := add(head + "    define reader: [user, group#member]\n")
	private := add(head + "    define reader: [user]\n")
	org := id.New(id.Organization)
	change := func(subject string, deleted bool) proto.Message {
		return &eventv1.RelationshipsWritten{Changes: []*eventv1.RelationshipChange{
			{Resource: "document:a", Relation: "reader", Subject: subject, Deleted: deleted},
		}}
	}
	const everything = 6
	commit(t, log, org, 0, &eventv1.ModelAssigned{Model: shared}, change("user:anna", false), change("group:g#member", false),
		change("group:g#member", true), &eventv1.RoleDefined{Role: "ops"}, change("group:h#member", false))
	passing := id.New(id.Organization)
	commit(t, log, passing, 0, &eventv1.ModelAssigned{Model: shared}, change("user:anna", false), change("group:g#member", false),
		change("group:g#member", true), &eventv1.RoleDefined{Role: "ops"})
	t.Run("an orphan that is gone again", func(t *testing.T) {
		err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			locked, err := Lock(ctx, log, tx, passing)
			if err != nil {
				return err
			}
			return a.keeps(ctx, tx, locked, shared, private, &survey{from: shared, to: private, sequence: 1})
		})
		if err != nil {
			t.Error(err)
		}
	})
	for name, tc := range map[string]struct {
		from, to string
		seen     *survey
		want     commonv1.Reason
		needed   bool
	}{
		"nothing to look at":        {private, shared, nil, 0, false},
		"no survey":                 {shared, private, nil, 0, true},
		"a survey of another model": {shared, private, &survey{from: private, to: shared, sequence: everything}, 0, true},
		"a survey of all":           {shared, private, &survey{from: shared, to: private, sequence: everything}, 0, false},
		"a survey with orphans":     {shared, private, &survey{from: shared, to: private, sequence: everything, orphaned: 1, why: errors.New("x")}, commonv1.Reason_MODEL_ORPHANS, false},
		"an orphan since":           {shared, private, &survey{from: shared, to: private, sequence: 1}, commonv1.Reason_MODEL_ORPHANS, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				locked, err := Lock(ctx, log, tx, org)
				if err != nil {
					return err
				}
				return a.keeps(ctx, tx, locked, tc.from, tc.to, tc.seen)
			})
			needed, ok := errors.AsType[*unsurveyedError](err)
			switch {
			case tc.needed && (!ok || needed.from != tc.from || needed.to != tc.to):
				t.Errorf("keeps = %v, want a survey to be asked for", err)
			case tc.want != 0 && !fault.Is(err, tc.want):
				t.Errorf("keeps = %v, want %v", err, tc.want)
			case !tc.needed && tc.want == 0 && err != nil:
				t.Errorf("keeps = %v, want nothing lost", err)
			}
		})
	}
}

// What an organization uses already is not assigned again, and one that follows
// no line is not moved.
func TestAssignChangesNothing(t *testing.T) {
	db := sqltest.New(t)
	log := eventlog.New(eventlog.Config{DB: db, Region: "eu-west"})
	a := &Assigner{Log: log}
	org := id.New(id.Organization)
	commit(t, log, org, 0, &eventv1.ModelAssigned{Model: "mdl_1"})
	err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if err := store.InsertModel(ctx, tx, store.Model{ID: "mdl_1", Name: "line"}); err != nil {
			return err
		}
		if err := store.ApplyModelState(ctx, tx, &eventv1.ModelStateChanged{Model: "mdl_1", State: eventv1.ModelState_MODEL_STATE_ACTIVE}); err != nil {
			return err
		}
		return store.PutAssignment(ctx, tx, store.Assignment{Organization: org, HomeRegion: "eu-west", Model: "mdl_1", Sequence: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Command{
		"the same model":      {Organization: org, Model: "mdl_1"},
		"it follows no more":  {Organization: org, Line: "line", Following: true},
		"nor another's model": {Organization: org, Line: "other", Following: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.Actor = &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "test"}
			err := a.Assign(t.Context(), eventlog.Request{}, c, func(r Result) error {
				if r.Changed || r.Model != "mdl_1" || r.Revision.Sequence != 1 {
					t.Errorf("result %+v, want nothing changed at 1", r)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func commit(t *testing.T, log *eventlog.Store, org string, expected uint64, events ...proto.Message) {
	t.Helper()
	_, err := log.Commit(t.Context(), eventlog.Request{}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := log.Append(ctx, tx, eventlog.Append{
			Log: org, Expected: expected, HomeRegion: "eu-west", Events: events,
			Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "test"},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

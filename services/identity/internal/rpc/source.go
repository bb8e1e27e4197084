package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/source"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// maxCounted is how far ListSources counts the users of a source.
const maxCounted = 1_000_000

// PutSource implements MigrationService.
func (s *Migration) PutSource(ctx context.Context, req *identityv1.PutSourceRequest) (*identityv1.PutSourceResponse, error) {
	if req.GetCheckerUrl() != "" {
		if err := legacy.CheckURL(req.GetCheckerUrl()); err != nil {
			return nil, err
		}
	}
	if s.Blind.IsZero() && (req.GetCheckerUrl() != "" || req.GetNewSecret()) {
		return nil, noBlindKey()
	}
	out := &identityv1.PutSourceResponse{}
	var made secret.String
	replayed, err := commit.Once(ctx, s.Log, id.Platform, identityv1connect.MigrationServicePutSourceProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			before, after, rev, err := s.put(ctx, tx, caller, source.Put{
				Name: req.GetName(), CheckerURL: req.GetCheckerUrl(), Disabled: req.GetDisabled(), NewSecret: req.GetNewSecret(),
			})
			if err != nil {
				return err
			}
			made = secret.String{}
			if after.Secrets > before.Secrets {
				made = legacy.Secret(s.Blind, after.Name, after.Secrets)
			}
			out.Source = sourceMessage(after)
			out.Revision, err = revision.Token(rev)
			return err
		})
	if err != nil {
		return nil, err
	}
	if !replayed {
		out.Secret = made.Reveal()
	}
	return out, nil
}

// put makes or changes a source.
//
// Errors: LIMIT_REACHED.
func (s *Migration) put(
	ctx context.Context, tx pgx.Tx, caller principal.Principal, command source.Put,
) (before, after source.State, rev revision.Revision, err error) {
	head, err := s.Log.Lock(ctx, tx, id.Platform)
	if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return before, after, rev, err
	}
	sources, err := store.ListSources(ctx, tx)
	if err != nil {
		return before, after, rev, err
	}
	command.Others = len(sources)
	row := store.Source{CreatedAt: s.Clock().UTC().Truncate(time.Microsecond)}
	for _, there := range sources {
		if there.Name == command.Name {
			row = there
			command.Others--
		}
	}
	before = row.State
	events, err := command.Decide(before)
	if err != nil || len(events) == 0 {
		return before, before, revision.Revision{Log: id.Platform, Sequence: head.Sequence}, err
	}
	for _, e := range events {
		row.Apply(e)
	}
	if err := store.PutSource(ctx, tx, row); err != nil {
		return before, row.State, rev, err
	}
	rev, err = s.appendPlatform(ctx, tx, caller, head, events)
	return before, row.State, rev, err
}

// appendPlatform appends to the platform's log, which is locked, or made when it has
// no head.
func (s *Migration) appendPlatform(
	ctx context.Context, tx pgx.Tx, caller principal.Principal, head eventlog.Head, events []proto.Message,
) (revision.Revision, error) {
	return s.Log.Append(ctx, tx, eventlog.Append{
		Log: id.Platform, Expected: head.Sequence, HomeRegion: s.PlatformRegion, Actor: caller.Actor(), Events: events,
	})
}

// name makes a source that there is not, without a checker. Two who make it at once
// agree.
func (s *Migration) name(ctx context.Context, caller principal.Principal, name string) error {
	_, err := store.FindSource(ctx, s.DB.Pool(), name)
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return err
	}
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: id.Platform}, func(ctx context.Context, tx pgx.Tx) error {
		switch _, err := store.FindSource(ctx, tx, name); {
		case err == nil:
			return nil
		case !fault.Is(err, commonv1.Reason_NOT_FOUND):
			return err
		}
		_, _, _, err := s.put(ctx, tx, caller, source.Put{Name: name})
		return err
	})
	return err
}

// ListSources implements MigrationService.
func (s *Migration) ListSources(ctx context.Context, _ *identityv1.ListSourcesRequest) (*identityv1.ListSourcesResponse, error) {
	rows, err := store.ListSources(ctx, s.DB.Pool())
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListSourcesResponse{}
	for _, row := range rows {
		users, waiting, err := store.CountLinks(ctx, s.DB.Pool(), row.Name, maxCounted)
		if err != nil {
			return nil, err
		}
		message := sourceMessage(row.State)
		message.Users, message.Migrated = uint64(users), uint64(max(users-waiting, 0))
		out.Sources = append(out.Sources, message)
	}
	return out, nil
}

func sourceMessage(s source.State) *identityv1.Source {
	return &identityv1.Source{Name: s.Name, CheckerUrl: s.CheckerURL, Disabled: s.Disabled}
}

// noBlindKey is the answer where there is no blind key.
func noBlindKey() error {
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
		"migration needs the key that addresses are found by: keys.blind_file is absent in the configuration")
}

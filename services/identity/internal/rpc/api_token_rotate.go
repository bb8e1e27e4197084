package rpc

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/bearer"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// RotateApiToken implements ApiTokenService.
func (s *APITokens) RotateApiToken(
	ctx context.Context, req *identityv1.RotateApiTokenRequest,
) (*identityv1.RotateApiTokenResponse, error) {
	command := apitoken.Rotate{
		ID: id.New(id.Token), Old: req.GetToken(), Organization: req.GetOrganization(),
		Overlap:  time.Duration(req.GetOverlapSeconds()) * time.Second,
		Lifetime: time.Duration(req.GetLifetimeSeconds()) * time.Second, At: s.Clock(),
	}
	out := &identityv1.RotateApiTokenResponse{}
	var text secret.String
	replayed, err := commit.Once(ctx, s.Log, logOf(req.GetOrganization()), identityv1connect.ApiTokenServiceRotateApiTokenProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			command.Caller, command.CallerScopes = caller.Level, caller.Scopes
			text, err = s.rotate(ctx, tx, command, caller, out)
			return err
		})
	if err != nil {
		return nil, err
	}
	// A repeated call gets no secret: what an attempt before may have left in
	// text was rolled back.
	if !replayed {
		out.Secret = text.Reveal()
	}
	return out, nil
}

func (s *APITokens) rotate(
	ctx context.Context, tx pgx.Tx, command apitoken.Rotate, caller principal.Principal, out *identityv1.RotateApiTokenResponse,
) (secret.String, error) {
	head, err := s.lockOpen(ctx, tx, command.Organization)
	if err != nil {
		return secret.String{}, err
	}
	old, err := store.FindAPIToken(ctx, tx, command.Old)
	if err != nil {
		return secret.String{}, err
	}
	if command.Related, err = store.RotationLives(ctx, tx, old.State, command.At); err != nil {
		return secret.String{}, err
	}
	events, err := command.Decide(old.State)
	if err != nil {
		return secret.String{}, err
	}
	var state apitoken.State
	state.Apply(events[0])
	for _, e := range events[1:] {
		old.Apply(e)
	}
	row, text := s.newRow(state, head.HomeRegion)
	if err := s.insert(ctx, tx, row); err != nil {
		return secret.String{}, err
	}
	if err := store.ExpireAPIToken(ctx, tx, old.ID, old.ExpiresAt); err != nil {
		return secret.String{}, err
	}
	out.Token, out.Replaced = tokenMessage(row), tokenMessage(old)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return text, err
}

// lockOpen locks the log of an organization that something is to be made in or, for
// "", the platform's.
func (s *APITokens) lockOpen(ctx context.Context, tx pgx.Tx, organization string) (eventlog.Head, error) {
	if organization != "" {
		return lockOpenOwner(ctx, tx, s.Log, organization)
	}
	return s.Log.Lock(ctx, tx, id.Platform)
}

// newRow makes the row and the text of a token that was decided on.
func (s *APITokens) newRow(state apitoken.State, homeRegion string) (store.APIToken, secret.String) {
	var random bearer.Random
	_, _ = rand.Read(random[:]) // never fails, by its contract
	text, hash := apitoken.NewSecret(state.ID, random)
	return store.APIToken{
		State: state, Hash: hash[:], HomeRegion: homeRegion, CreatedAt: s.Clock().UTC().Truncate(time.Microsecond),
	}, text
}

// insert writes a new token, whose service account there must be.
//
// Errors: NOT_FOUND.
func (s *APITokens) insert(ctx context.Context, tx pgx.Tx, row store.APIToken) error {
	if row.ServiceAccount != "" {
		if _, err := store.FindServiceAccount(ctx, tx, row.Organization, row.ServiceAccount); err != nil {
			return err
		}
	}
	return store.InsertAPIToken(ctx, tx, row)
}

// RevokeTokensOfAccount revokes the API tokens of a service account, whose
// organization's log is locked, and returns the events that say so.
func RevokeTokensOfAccount(ctx context.Context, tx pgx.Tx, organization, account string, at time.Time) ([]proto.Message, error) {
	revoked, err := store.RevokeTokensOfAccount(ctx, tx, organization, account, at)
	if err != nil {
		return nil, err
	}
	var events []proto.Message
	for _, token := range revoked {
		events = append(events, &eventv1.ApiTokenRevoked{Token: token})
	}
	return events, nil
}

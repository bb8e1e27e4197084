package rpc

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/signingkey"
	"github.com/meridian-iam/meridian/services/sessions/internal/keys"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// Keys serves KeyService.
type Keys struct {
	DB      *sqldb.DB
	Log     *eventlog.Store
	Region  string
	Regions []string
	Ring    *keys.Ring
	Clock   func() time.Time
}

var _ sessionsv1connect.KeyServiceHandler = (*Keys)(nil)

// ListSigningKeys implements KeyService.
func (s *Keys) ListSigningKeys(ctx context.Context, req *sessionsv1.ListSigningKeysRequest) (*sessionsv1.ListSigningKeysResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	rows, err := store.ListSigningKeys(ctx, s.DB.Pool())
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListSigningKeysResponse{}
	for _, row := range rows {
		if row.Status != signingkey.Deleted {
			out.Keys = append(out.Keys, keyMessage(row))
		}
	}
	return out, nil
}

// RotateSigningKey implements KeyService, for a key of this region.
func (s *Keys) RotateSigningKey(ctx context.Context, req *sessionsv1.RotateSigningKeyRequest) (*sessionsv1.RotateSigningKeyResponse, error) {
	switch {
	case !slices.Contains(s.Regions, req.GetRegion()):
		return nil, fault.Field("region", "region", "there is no such region")
	case req.GetRegion() != s.Region:
		return nil, fault.New(fault.Unavailable, commonv1.Reason_KEY_ELSEWHERE, "the region makes its own keys, and did not do this").
			With("region", req.GetRegion()).Retry(time.Second)
	}
	made, err := jose.Generate(jose.Algorithm(req.GetAlgorithm()), s.Region)
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.RotateSigningKeyResponse{}
	_, err = commit.Once(ctx, s.Log, id.Platform, sessionsv1connect.KeyServiceRotateSigningKeyProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			row, rev, err := s.Ring.Change(ctx, tx, made, made.Algorithm(), caller.Actor(),
				func(keys []signingkey.State, m signingkey.Made, at time.Time) ([]proto.Message, error) {
					return signingkey.Rotate{Policy: s.Ring.Policy, Made: m, Emergency: req.GetEmergency(), At: at}.Decide(keys)
				})
			if err != nil {
				return err
			}
			out.Key = keyMessage(*row)
			out.Revision, err = revision.Token(rev)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, s.Ring.Load(ctx)
}

func keyMessage(k store.SigningKey) *sessionsv1.SigningKey {
	out := &sessionsv1.SigningKey{
		Kid: k.KID, Region: k.Region, Algorithm: k.Algorithm, State: k.Status, PublicJwk: k.PublicJWK,
		CreatedAt: timestamppb.New(k.CreatedAt), ActiveAt: timestamppb.New(k.ActiveAt),
	}
	if !k.InactiveAt.IsZero() {
		out.InactiveAt = timestamppb.New(k.InactiveAt)
	}
	if !k.DeleteAt.IsZero() {
		out.DeleteAt = timestamppb.New(k.DeleteAt)
	}
	return out
}

// keysAtHome serves KeyService with keys made in their region.
type keysAtHome struct {
	*Keys

	peers *home.Peers[sessionsv1connect.KeyServiceClient]
}

// KeysAtHome serves KeyService with keys made in their region.
func KeysAtHome(s *Keys, ways *home.Router) sessionsv1connect.KeyServiceHandler {
	return &keysAtHome{s, home.Clients(ways, sessionsv1connect.NewKeyServiceClient)}
}

// RotateSigningKey implements KeyService.
func (s *keysAtHome) RotateSigningKey(ctx context.Context, req *sessionsv1.RotateSigningKeyRequest) (*sessionsv1.RotateSigningKeyResponse, error) {
	return home.SendTo(ctx, s.peers, req.GetRegion(), req, sessionsv1connect.KeyServiceClient.RotateSigningKey, s.Keys.RotateSigningKey)
}

package rpc

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Users serves UserService.
type Users struct {
	identityv1connect.UnimplementedUserServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is the home of a user for whom none is named; Regions are the
	// deployment's.
	Region  string
	Regions []string
	// Blind is what addresses are found by. Without it no user has one.
	Blind blind.Key
	// Invitations are ended with the user whose address they have; nil: none are.
	Invitations *Invitations
	Clock       func() time.Time
}

var _ identityv1connect.UserServiceHandler = (*Users)(nil)

// CreateUser implements UserService.
func (s *Users) CreateUser(ctx context.Context, req *identityv1.CreateUserRequest) (*identityv1.CreateUserResponse, error) {
	command, err := s.creation(req)
	if err != nil {
		return nil, err
	}
	out := &identityv1.CreateUserResponse{}
	var row store.User
	replayed, err := commit.Once(ctx, s.Log, "", identityv1connect.UserServiceCreateUserProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			var rev revision.Revision
			var err error
			if row, rev, err = s.create(ctx, tx, command, caller); err != nil {
				return err
			}
			out.User = outcomeUser(row)
			out.Revision, err = revision.Token(rev)
			return err
		})
	if err != nil {
		return nil, err
	}
	out.User, err = answerUser(ctx, s.DB.Pool(), replayed, row, out.GetUser())
	return out, err
}

// creation reads a request.
func (s *Users) creation(req *identityv1.CreateUserRequest) (user.Create, error) {
	email, err := address.Parse(req.GetEmail())
	if err != nil {
		return user.Create{}, err
	}
	name, err := nameOf(req.GetName())
	if err != nil {
		return user.Create{}, err
	}
	return user.Create{
		ID: id.New(id.User), Realm: req.GetRealm(), HomeRegion: req.GetHomeRegion(), Regions: s.Regions,
		Email: email, EmailVerified: req.GetEmailVerified(), Name: name, Locale: req.GetLocale(), Source: "api",
	}, nil
}

// nameOf checks a person's name, which may be absent.
func nameOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	return displayname.Check("name", text)
}

// create makes a user, and the user's log. A command without a home region takes the
// realm's, or this process's.
//
// Errors: NOT_FOUND and ORGANIZATION_STATE (the realm), ALREADY_EXISTS (field
// "email"), those of the command.
func (s *Users) create(
	ctx context.Context, tx pgx.Tx, command user.Create, caller principal.Principal,
) (store.User, revision.Revision, error) {
	home := s.Region
	if command.Realm != "" {
		realm, err := s.realm(ctx, tx, command.Realm)
		if err != nil {
			return store.User{}, revision.Revision{}, err
		}
		home = realm.HomeRegion
	}
	command.HomeRegion = cmp.Or(command.HomeRegion, home)
	row := store.User{CreatedAt: s.Clock().UTC().Truncate(time.Microsecond)}
	events, err := command.Decide(row.State)
	if err != nil {
		return row, revision.Revision{}, err
	}
	for _, e := range events {
		row.Apply(e)
	}
	index, err := s.index(row.Realm, command.Email)
	if err != nil {
		return row, revision.Revision{}, err
	}
	if err := store.InsertUser(ctx, tx, row, index); err != nil {
		return row, revision.Revision{}, err
	}
	rev, err := s.Log.Append(ctx, tx, eventlog.Append{
		Log: row.ID, HomeRegion: row.HomeRegion, Actor: caller.Actor(), Events: events,
	})
	return row, rev, err
}

// realm is the organization that a user is to be kept apart for.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE; INVALID_FIELD for one that has no users of
// its own.
func (s *Users) realm(ctx context.Context, q sqldb.Querier, organizationID string) (store.Organization, error) {
	o, err := store.FindOrganization(ctx, q, organizationID)
	if err != nil {
		return o, err
	}
	if err := o.Open(); err != nil {
		return o, err
	}
	if realmOf(o) != organizationID {
		return o, fault.Field("realm", "isolated", "the organization does not keep its users apart")
	}
	return o, nil
}

// index is what an address is found by, nil for no address.
func (s *Users) index(realm string, email address.Address) ([]byte, error) {
	return indexOf(s.Blind, realm, email)
}

func indexOf(key blind.Key, realm string, email address.Address) ([]byte, error) {
	switch {
	case email.Text == "":
		return nil, nil
	case key.IsZero():
		return nil, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
			"users with an address need a key to find them by: keys.blind_file is absent in the configuration")
	}
	return store.BlindEmail(key, realm, email), nil
}

// GetUser implements UserService.
func (s *Users) GetUser(ctx context.Context, req *identityv1.GetUserRequest) (*identityv1.GetUserResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindUser(ctx, s.DB.Pool(), req.GetUser())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetUserResponse{User: userMessage(row)}, nil
}

// FindUser implements UserService.
func (s *Users) FindUser(ctx context.Context, req *identityv1.FindUserRequest) (*identityv1.FindUserResponse, error) {
	email, err := address.Parse(req.GetEmail())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	index, err := s.index(req.GetRealm(), email)
	if err != nil {
		return nil, err
	}
	found, err := store.FindUserByEmail(ctx, s.DB.Pool(), req.GetRealm(), index)
	if err != nil {
		return nil, err
	}
	row, err := store.FindUser(ctx, s.DB.Pool(), found)
	if err != nil {
		return nil, err
	}
	if !row.Has(email) { // the address changed hands between the two reads
		return nil, user.NotFound()
	}
	return &identityv1.FindUserResponse{User: userMessage(row)}, nil
}

func userMessage(u store.User) *identityv1.User {
	return &identityv1.User{
		Id: u.ID, Realm: u.Realm, State: identityv1.UserState(u.Status), HomeRegion: u.HomeRegion,
		Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name, Locale: u.Locale, CreatedAt: timestamppb.New(u.CreatedAt),
	}
}

package rpc

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// importing is how many users of one call are imported at a time.
	importing = 4
	// importTries is how often one user is looked up and written: others may make the
	// same user meanwhile, or a commit end without an answer.
	importTries = 4
)

// Migration serves MigrationService.
type Migration struct {
	identityv1connect.UnimplementedMigrationServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is the home of users for whom none is named; Regions are the
	// deployment's; PlatformRegion is the home of the platform's log.
	Region         string
	Regions        []string
	PlatformRegion string
	// Blind is what addresses and links are found by. Without it nobody is imported.
	Blind blind.Key
	// Passwords judges hashes of other systems. Without it none is taken.
	Passwords *password.Hasher
	Clock     func() time.Time
}

var _ identityv1connect.MigrationServiceHandler = (*Migration)(nil)

// ImportUsers implements MigrationService. It keeps no outcome under its key: who was
// imported is found by the link.
func (s *Migration) ImportUsers(ctx context.Context, req *identityv1.ImportUsersRequest) (*identityv1.ImportUsersResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.canImport(cmp.Or(req.GetHomeRegion(), s.Region)); err != nil {
		return nil, err
	}
	if err := s.name(ctx, caller, req.GetSource()); err != nil {
		return nil, err
	}
	out := &identityv1.ImportUsersResponse{Results: make([]*identityv1.ImportResult, len(req.GetUsers()))}
	users := make([]*newcomer, 0, len(req.GetUsers()))
	for i, u := range req.GetUsers() {
		n, err := s.read(req.GetSource(), i, u)
		if err != nil {
			if out.Results[i], err = notImported(i, err); err != nil {
				return nil, err
			}
			continue
		}
		users = append(users, n)
	}
	if err := s.lookUp(ctx, req.GetSource(), users...); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(importing)
	for _, n := range users {
		group.Go(func() (err error) {
			out.Results[n.index], err = s.settle(ctx, caller, n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out.Revision, err = tokenOf(users)
	return out, err
}

// canImport says whether users can be made here with a home region.
func (s *Migration) canImport(home string) error {
	switch {
	case s.Blind.IsZero():
		return noBlindKey()
	case !slices.Contains(s.Regions, home):
		return fault.Field("home_region", "region", "the deployment has no such region")
	case home != s.Region:
		return fault.New(fault.Unavailable, commonv1.Reason_KEY_ELSEWHERE,
			"personal data is sealed in the users' home region only, which did not answer").With("region", home).Retry(5 * time.Second)
	}
	return nil
}

// lookUp finds out for each newcomer whether the link or the address is there. What
// it finds is a hint: the transaction that writes finds out for good.
func (s *Migration) lookUp(ctx context.Context, source string, users ...*newcomer) error {
	if len(users) == 0 {
		return nil
	}
	externals, emails := make([][]byte, len(users)), make([][]byte, len(users))
	for i, n := range users {
		externals[i], emails[i] = n.external, n.emailIndex
	}
	links, err := store.FindLinks(ctx, s.DB.Pool(), source, externals)
	if err != nil {
		return err
	}
	found, err := store.FindUsersByEmail(ctx, s.DB.Pool(), "", emails)
	if err != nil {
		return err
	}
	for i, n := range users {
		n.link, n.linked = links[string(externals[i])]
		n.found = found[string(emails[i])]
	}
	return nil
}

// settle imports one user, and says what became of it.
//
// Errors: those that concern all users.
func (s *Migration) settle(ctx context.Context, caller principal.Principal, n *newcomer) (*identityv1.ImportResult, error) {
	var unknown error // the last commit of which it is not known whether it happened
	for range importTries {
		if n.linked {
			return s.present(ctx, n, unknown != nil)
		}
		outcome, write := identityv1.ImportOutcome_IMPORT_OUTCOME_CREATED, s.create
		if n.found != "" {
			outcome, write = identityv1.ImportOutcome_IMPORT_OUTCOME_LINKED, s.adopt
		}
		err := write(ctx, caller, n)
		f, _ := fault.As(err)
		switch {
		case err == nil:
			return &identityv1.ImportResult{User: n.user, Outcome: outcome}, nil
		case errors.Is(err, errOvertaken):
		case f != nil && f.Kind == fault.UnknownOutcome:
			unknown = err
		default:
			return notImported(n.index, err)
		}
		if lost := s.lookUp(ctx, n.source, n); lost != nil {
			return nil, cmp.Or(unknown, lost)
		}
	}
	return nil, cmp.Or(unknown, error(fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "others import the same users; nothing was written")))
}

// present is the result of a user whose link is there: imported before, or by a
// commit of this call that got no answer.
func (s *Migration) present(ctx context.Context, n *newcomer, unanswered bool) (*identityv1.ImportResult, error) {
	result := &identityv1.ImportResult{User: n.link.User, Outcome: identityv1.ImportOutcome_IMPORT_OUTCOME_UNCHANGED}
	switch {
	case n.link.ExternalID == "":
		return notImported(n.index, fault.New(fault.Precondition, commonv1.Reason_USER_ERASED, "the user was imported and erased"))
	case !unanswered:
		return result, nil
	case n.link.User == n.id:
		result.Outcome = identityv1.ImportOutcome_IMPORT_OUTCOME_CREATED
	case n.link.User == n.adopted:
		result.Outcome = identityv1.ImportOutcome_IMPORT_OUTCOME_LINKED
	}
	head, err := s.Log.Head(ctx, s.DB.Pool(), n.link.User)
	n.revisions = []revision.Revision{{Log: head.Log, Sequence: head.Sequence}}
	return result, err
}

// notImported is the result of a user who was not imported, for a reason that concerns
// the user alone; other errors come back.
func notImported(index int, err error) (*identityv1.ImportResult, error) {
	f, ok := fault.As(err)
	if !ok {
		return nil, err
	}
	switch f.Kind {
	case fault.Invalid, fault.NotFound, fault.Exists, fault.Precondition:
	default:
		// Of somebody who is at home elsewhere, or in as many organizations as may be.
		if f.Reason != commonv1.Reason_KEY_ELSEWHERE && f.Reason != commonv1.Reason_LIMIT_REACHED {
			return nil, err
		}
	}
	result := &identityv1.ImportResult{
		Outcome: identityv1.ImportOutcome_IMPORT_OUTCOME_REFUSED, Reason: f.Reason.String(), Detail: f.Detail,
	}
	if f.Reason == commonv1.Reason_KEY_ELSEWHERE {
		result.Detail = "the address has a user at home in " + f.Meta["region"] + ": import this user with that home_region"
	}
	if field := f.Meta["field"]; field != "" {
		result.Field = userField(index, field)
	}
	return result, nil
}

// tokenOf names the logs that were written to, when they are few enough for a token.
func tokenOf(users []*newcomer) (string, error) {
	newest := map[string]uint64{}
	for _, n := range users {
		for _, r := range n.revisions {
			newest[r.Log] = max(newest[r.Log], r.Sequence)
		}
	}
	if len(newest) == 0 || len(newest) > revision.MaxLogs {
		return "", nil
	}
	var all []revision.Revision
	for log, sequence := range newest {
		all = append(all, revision.Revision{Log: log, Sequence: sequence})
	}
	return revision.Token(all...)
}

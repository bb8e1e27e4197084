package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
)

// userFold rebuilds the rows of the log's user. The personal data is opened when
// the rows are compared, with the key of that moment: the newest event of each kind
// is kept for it.
type userFold struct {
	log   string
	store *eventlog.Store
	blind blind.Key

	state user.State
	// profile and email are the last events that told of them.
	profile, email eventlog.Recorded
}

func (f *userFold) apply(event proto.Message) bool {
	switch event.(type) {
	case *eventv1.UserCreated, *eventv1.UserProfileChanged, *eventv1.UserEmailChanged,
		*eventv1.UserSuspended, *eventv1.UserResumed, *eventv1.UserErased:
		f.state.Apply(event)
		return true
	}
	return false
}

func (f *userFold) recorded(r eventlog.Recorded, event proto.Message) {
	switch event.(type) {
	case *eventv1.UserCreated:
		f.profile, f.email = r, r
	case *eventv1.UserProfileChanged:
		f.profile = r
	case *eventv1.UserEmailChanged:
		f.email = r
	}
}

func (f *userFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	row, err := FindUser(ctx, q, f.log)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return "there is no user row", nil
	case err != nil:
		return "", err
	}
	state := row.State
	state.Profile = user.Profile{}
	want := f.state
	want.Profile = user.Profile{}
	if state != want {
		return fmt.Sprintf("user row has realm %q, status %d, home %q, verified %t, source %q; the log has %q, %d, %q, %t, %q",
			state.Realm, state.Status, state.HomeRegion, state.EmailVerified, state.Source,
			want.Realm, want.Status, want.HomeRegion, want.EmailVerified, want.Source), nil
	}
	if difference, err := f.compareSearch(ctx, q, row); err != nil || difference != "" {
		return difference, err
	}
	if difference, err := f.compareProfile(ctx, q, row); err != nil || difference != "" {
		return difference, err
	}
	return f.compareEmail(ctx, q, row)
}

// compareProfile compares the personal data with what the events have sealed, if
// this region can open it.
func (f *userFold) compareProfile(ctx context.Context, q sqldb.Querier, row User) (string, error) {
	var rows int
	if err := q.QueryRow(ctx, `SELECT count(*) FROM identity.profiles WHERE user_id = $1`, f.log).Scan(&rows); err != nil {
		return "", sqldb.Unavailable(err)
	}
	if f.state.Status == user.Erased {
		if rows != 0 {
			return "an erased user has a profile row", nil
		}
		return "", nil
	}
	if rows == 0 {
		return "there is no profile row", nil
	}
	if f.store == nil {
		return "", nil
	}
	opened, err := f.store.OpenAll(ctx, q, []eventlog.Recorded{f.profile, f.email})
	switch {
	case fault.Is(err, commonv1.Reason_KEY_ELSEWHERE):
		return "", nil
	case fault.Is(err, commonv1.Reason_EVENT_CORRUPT):
		return err.Error(), nil
	case err != nil:
		return "", err
	}
	var profile, email user.Profile
	profile.Apply(opened[0])
	email.Apply(opened[1])
	if row.Name != profile.Name || row.Locale != profile.Locale || row.Email != email.Email {
		return "the profile row is not what the events have sealed", nil
	}
	return "", nil
}

// compareEmail compares what the user's address is found by with the profile.
func (f *userFold) compareEmail(ctx context.Context, q sqldb.Querier, row User) (string, error) {
	rows, err := q.Query(ctx, `SELECT realm, blind FROM identity.user_emails WHERE user_id = $1`, f.log)
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	type index struct {
		realm string
		blind []byte
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i index, err error) {
		err = row.Scan(&i.realm, &i.blind)
		return i, err
	})
	switch {
	case err != nil:
		return "", sqldb.Unavailable(err)
	case row.Email == "" && len(found) == 0:
		return "", nil
	case len(found) != 1 || row.Email == "" || found[0].realm != row.Realm:
		return fmt.Sprintf("%d address rows, or of another realm", len(found)), nil
	case f.blind.IsZero():
		return "", nil
	}
	own, err := address.Parse(row.Email)
	if err != nil {
		return fmt.Sprintf("the profile row holds no address: %v", err), nil
	}
	if !bytes.Equal(found[0].blind, BlindEmail(f.blind, row.Realm, own)) {
		return "the address row is not that of the profile's address", nil
	}
	return "", nil
}

// BlindEmail is what an address is found by in a realm.
func BlindEmail(key blind.Key, realm string, a address.Address) []byte {
	return key.Index("email", realm, a.Canonical)
}

// compareSearch compares what the user is found by, in each organization, with the
// profile and the memberships, and the number of these.
func (f *userFold) compareSearch(ctx context.Context, q sqldb.Querier, row User) (string, error) {
	memberships, err := ListUserMemberships(ctx, q, f.log, "", maxScopes)
	if err != nil {
		return "", err
	}
	if len(memberships) != row.Memberships {
		return fmt.Sprintf("%d membership rows, the user row says %d", len(memberships), row.Memberships), nil
	}
	var want []string
	if f.state.Status != user.Erased {
		for _, word := range words(row.Name) {
			want = append(want, hitKey(everybody, word))
			for _, m := range memberships {
				want = append(want, hitKey(m.Organization, word))
			}
		}
	}
	rows, err := q.Query(ctx, `SELECT scope, word FROM identity.search_words WHERE user_id = $1`, f.log)
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	have, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var (
			scope string
			word  []byte
		)
		err := row.Scan(&scope, &word)
		return hitKey(scope, word), err
	})
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		return fmt.Sprintf("%d search rows are not the %d of name and memberships", len(have), len(want)), nil
	}
	return "", nil
}

func hitKey(scope string, word []byte) string { return scope + " " + string(word) }

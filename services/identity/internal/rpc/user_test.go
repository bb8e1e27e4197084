package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func TestCreateUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	request := &identityv1.CreateUserRequest{Email: " Ada@Example.com", EmailVerified: true, Name: " Ada Lovelace", IdempotencyKey: "1"}
	first, err := f.users.CreateUser(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	u := first.GetUser()
	want := &identityv1.User{
		Id: u.GetId(), State: identityv1.UserState_USER_STATE_ACTIVE, HomeRegion: "eu-west", Email: "Ada@Example.com",
		EmailVerified: true, Name: "Ada Lovelace", Locale: "en", CreatedAt: u.GetCreatedAt(),
	}
	if !proto.Equal(u, want) || !id.Valid(id.User, u.GetId()) {
		t.Errorf("made %v, want %v", u, want)
	}
	again, err := f.users.CreateUser(ctx, request)
	if err != nil || !proto.Equal(again, first) {
		t.Errorf("repeated with the same key: %v, %v; want %v", again, err, first)
	}
	got, err := f.users.GetUser(ctx, &identityv1.GetUserRequest{User: u.GetId(), AtLeast: first.GetRevision()})
	if err != nil || !proto.Equal(got.GetUser(), want) {
		t.Errorf("GetUser = %v, %v; want %v", got, err, want)
	}
	found, err := f.users.FindUser(ctx, &identityv1.FindUserRequest{Email: "ADA@example.com "})
	if err != nil || !proto.Equal(found.GetUser(), want) {
		t.Errorf("FindUser = %v, %v; want %v", found, err, want)
	}
	f.verify(t, u.GetId())
}

func TestCreateUserRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	f.user(t, ctx, "ada@example.com", "Ada")
	shared := f.organization(t, ctx, "acme")
	for name, tc := range map[string]struct {
		given  *identityv1.CreateUserRequest
		reason commonv1.Reason
		field  string
	}{
		"taken":                  {&identityv1.CreateUserRequest{Email: "ada@example.com"}, commonv1.Reason_ALREADY_EXISTS, "email"},
		"taken in other writing": {&identityv1.CreateUserRequest{Email: "ADA@EXAMPLE.COM"}, commonv1.Reason_ALREADY_EXISTS, "email"},
		"no address":             {&identityv1.CreateUserRequest{Email: "ada"}, commonv1.Reason_INVALID_FIELD, "email"},
		"name of spaces":         {&identityv1.CreateUserRequest{Email: "b@example.com", Name: "  "}, commonv1.Reason_INVALID_FIELD, "name"},
		"no such region":         {&identityv1.CreateUserRequest{Email: "b@example.com", HomeRegion: "mars"}, commonv1.Reason_INVALID_FIELD, "home_region"},
		"realm is absent":        {&identityv1.CreateUserRequest{Email: "b@example.com", Realm: id.New(id.Organization)}, commonv1.Reason_NOT_FOUND, ""},
		"realm shares users":     {&identityv1.CreateUserRequest{Email: "b@example.com", Realm: shared}, commonv1.Reason_INVALID_FIELD, "realm"},
		"region is elsewhere":    {&identityv1.CreateUserRequest{Email: "b@example.com", HomeRegion: "us-east"}, commonv1.Reason_KEY_ELSEWHERE, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.given.IdempotencyKey = key()
			answer, err := f.users.CreateUser(ctx, tc.given)
			got, _ := fault.As(err)
			if !fault.Is(err, tc.reason) || got.Meta["field"] != tc.field {
				t.Errorf("CreateUser = %v, %v; want %v of %q", answer, err, tc.reason, tc.field)
			}
		})
	}
	_, err := f.users.CreateUser(t.Context(), &identityv1.CreateUserRequest{Email: "b@example.com", IdempotencyKey: key()})
	if !fault.Is(err, commonv1.Reason_TOKEN_MISSING) {
		t.Errorf("anonymous creation: %v", err)
	}
	if users := f.listUsers(t, ctx, &identityv1.ListUsersRequest{}); len(users) != 1 {
		t.Errorf("refused creations left %v", users)
	}
}

// One address, many callers: one user, and everybody else hears that it is taken.
func TestOneAddressOneUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	var (
		wait        sync.WaitGroup
		made, taken atomic.Int32
	)
	for i := range 64 {
		email := []string{"ada@example.com", "Ada@Example.com", "ADA@EXAMPLE.COM"}[i%3]
		wait.Go(func() {
			_, err := f.users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: email, Name: "Ada", IdempotencyKey: key()})
			got, _ := fault.As(err)
			switch {
			case err == nil:
				made.Add(1)
			case fault.Is(err, commonv1.Reason_ALREADY_EXISTS) && got.Meta["field"] == "email":
				taken.Add(1)
			default:
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wait.Wait()
	if made.Load() != 1 || taken.Load() != 63 {
		t.Errorf("%d users made and %d refused, want 1 and 63", made.Load(), taken.Load())
	}
	users := f.listUsers(t, ctx, &identityv1.ListUsersRequest{})
	if len(users) != 1 {
		t.Fatalf("listed %v", users)
	}
	f.verify(t, users[0].GetId())
}

func TestUpdateUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada Byron")
	name, locale, verified := "Ada Lovelace", "de-AT", true
	answer, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{
		User: ada, Name: &name, Locale: &locale, EmailVerified: &verified, IdempotencyKey: key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if u := answer.GetUser(); u.GetName() != name || u.GetLocale() != locale || !u.GetEmailVerified() || u.GetEmail() != "ada@example.com" {
		t.Errorf("updated: %v", u)
	}
	same, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &name, IdempotencyKey: key()})
	if err != nil || same.GetRevision() != answer.GetRevision() || !proto.Equal(same.GetUser(), answer.GetUser()) {
		t.Errorf("with nothing new: %v, %v; want %v", same, err, answer)
	}
	for text, found := range map[string]bool{"ada": true, "lovelace": true, "byron": false} {
		if users := f.listUsers(t, ctx, &identityv1.ListUsersRequest{Search: text}); (len(users) == 1) != found {
			t.Errorf("search for %q found %v", text, users)
		}
	}
	empty := ""
	if answer, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &empty, IdempotencyKey: key()}); err != nil || answer.GetUser().GetName() != "" {
		t.Errorf("without a name: %v, %v", answer, err)
	}
	_, err = f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: id.New(id.User), Name: &name, IdempotencyKey: key()})
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("absent user: %v", err)
	}
	f.verify(t, ada)
}

func TestChangeEmail(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada, bob := f.user(t, ctx, "ada@example.com", "Ada"), f.user(t, ctx, "bob@example.com", "Bob")
	change := func(user, email string, verified bool) (*identityv1.User, error) {
		answer, err := f.users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{User: user, Email: email, EmailVerified: verified, IdempotencyKey: key()})
		return answer.GetUser(), err
	}
	if u, err := change(ada, "ada@example.org", true); err != nil || u.GetEmail() != "ada@example.org" || !u.GetEmailVerified() {
		t.Errorf("another address: %v, %v", u, err)
	}
	if u, err := change(ada, "Ada@Example.org", false); err != nil || u.GetEmail() != "Ada@Example.org" || !u.GetEmailVerified() {
		t.Errorf("the same address in other writing: %v, %v; want it verified still", u, err)
	}
	if _, err := change(bob, "ADA@example.ORG", false); !fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		t.Errorf("a taken address: %v", err)
	}
	if u, err := change(bob, "ada@example.com", false); err != nil || u.GetEmailVerified() {
		t.Errorf("an address that became free: %v, %v", u, err)
	}
	if _, err := f.users.FindUser(ctx, &identityv1.FindUserRequest{Email: "bob@example.com"}); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("the old address finds %v", err)
	}
	if u, err := change(ada, "new@example.org", false); err != nil || u.GetEmailVerified() {
		t.Errorf("another address is verified: %v, %v", u, err)
	}
	f.verify(t, ada)
	f.verify(t, bob)
}

// Two users who take each other's address, again and again: each address is one
// user's at any time.
func TestAddressesAreSwapped(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	users := []string{f.user(t, ctx, "a@example.com", "A"), f.user(t, ctx, "b@example.com", "B")}
	var wait sync.WaitGroup
	for i, user := range users {
		wait.Go(func() {
			for n := range 10 {
				_, err := f.users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{
					User: user, Email: fmt.Sprintf("%c@example.com", 'a'+(i+n)%3), IdempotencyKey: key(),
				})
				if err != nil && !fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	for _, user := range users {
		f.verify(t, user)
	}
}

func TestFreshness(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	org := f.organization(t, ctx, "acme")
	token := func(r ...revision.Revision) string {
		text, err := revision.Token(r...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, tc := range map[string]struct {
		atLeast string
		want    commonv1.Reason
	}{
		"none":                    {"", 0},
		"reached":                 {token(revision.Revision{Log: ada, Sequence: 1}), 0},
		"reached in two logs":     {token(revision.Revision{Log: ada, Sequence: 1}, revision.Revision{Log: org, Sequence: 1}), 0},
		"not reached":             {token(revision.Revision{Log: ada, Sequence: 2}), commonv1.Reason_REVISION_UNKNOWN},
		"not reached in another":  {token(revision.Revision{Log: ada, Sequence: 1}, revision.Revision{Log: org, Sequence: 2}), commonv1.Reason_REVISION_UNKNOWN},
		"of a log that is absent": {token(revision.Revision{Log: id.New(id.User), Sequence: 1}), commonv1.Reason_REVISION_UNKNOWN},
		"no token":                {"nonsense", commonv1.Reason_REVISION_MALFORMED},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.users.GetUser(ctx, &identityv1.GetUserRequest{User: ada, AtLeast: tc.atLeast})
			if tc.want == 0 && err != nil || tc.want != 0 && !fault.Is(err, tc.want) {
				t.Errorf("GetUser: %v, want %v", err, tc.want)
			}
		})
	}
}

// Users are made at home: their keys are that region's, which verifies them wholly.
func TestUserOfAnotherRegion(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	abroad := f.abroad(t)
	answer, err := abroad.users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: "ada@example.com", Name: "Ada", IdempotencyKey: key()})
	if err != nil || answer.GetUser().GetHomeRegion() != "us-east" {
		t.Fatalf("CreateUser = %v, %v", answer, err)
	}
	ada := answer.GetUser().GetId()
	name := "Ada Lovelace"
	if _, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &name, IdempotencyKey: key()}); !fault.Is(err, commonv1.Reason_KEY_ELSEWHERE) {
		t.Errorf("updated from another region: %v, want KEY_ELSEWHERE", err)
	}
	if got, err := f.users.GetUser(ctx, &identityv1.GetUserRequest{User: ada}); err != nil || got.GetUser().GetName() != "Ada" {
		t.Errorf("read from another region: %v, %v", got, err)
	}
	f.verify(t, ada)
	abroad.verify(t, ada)
}

// The rows are compared with what the events have sealed.
func TestVerifySeesPersonalRows(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	for _, change := range []string{
		`UPDATE identity.profiles SET name = 'Eve' WHERE user_id = $1`,
		`UPDATE identity.profiles SET email = 'eve@example.com' WHERE user_id = $1`,
		`DELETE FROM identity.profiles WHERE user_id = $1`,
		`UPDATE identity.user_emails SET blind = 'x' WHERE user_id = $1`,
		`DELETE FROM identity.user_emails WHERE user_id = $1`,
		`UPDATE identity.search_words SET word = 'eve' WHERE user_id = $1`,
		`DELETE FROM identity.search_words WHERE user_id = $1`,
		`UPDATE identity.users SET state = 2 WHERE user_id = $1`,
		`UPDATE identity.users SET memberships = 1 WHERE user_id = $1`,
		`DELETE FROM identity.users WHERE user_id = $1`,
	} {
		ada := f.user(t, ctx, strings.ToLower(id.New(id.User))+"@example.com", "Ada")
		f.verify(t, ada)
		tag, err := f.db.Pool().Exec(ctx, change, ada)
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v, %v", change, tag, err)
		}
		difference := f.difference(t, ada)
		if difference.GetCopy() != "rows" || strings.Contains(difference.GetDetail(), "Ada") || strings.Contains(difference.GetDetail(), "@") {
			t.Errorf("%s: %v", change, difference)
		}
	}
}

// listUsers reads all pages.
func (f *fixture) listUsers(t *testing.T, ctx context.Context, req *identityv1.ListUsersRequest) (users []*identityv1.User) {
	t.Helper()
	for range 1000 {
		answer, err := f.users.ListUsers(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, answer.GetUsers()...)
		if req.Cursor = answer.GetNextCursor(); req.GetCursor() == "" {
			return users
		}
	}
	t.Fatal("the list does not end")
	return nil
}

func ids(users []*identityv1.User) (ids []string) {
	for _, u := range users {
		ids = append(ids, u.GetId())
	}
	return ids
}

func TestListUsersPages(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	var want []string
	for i := range 7 {
		want = append(want, f.user(t, ctx, fmt.Sprintf("user%d@example.com", i), "User"))
	}
	if got := ids(f.listUsers(t, ctx, &identityv1.ListUsersRequest{PageSize: 3})); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	suspended := f.listUsers(t, ctx, &identityv1.ListUsersRequest{State: identityv1.UserState_USER_STATE_SUSPENDED})
	if len(suspended) != 0 {
		t.Errorf("suspended users: %v", suspended)
	}
	first, err := f.users.ListUsers(ctx, &identityv1.ListUsersRequest{PageSize: 3})
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]*identityv1.ListUsersRequest{
		"of another list": {State: identityv1.UserState_USER_STATE_ACTIVE, Cursor: first.GetNextCursor()},
		"forged":          {Cursor: "forged"},
	} {
		if _, err := f.users.ListUsers(ctx, request); !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
			t.Errorf("cursor %s: %v", name, err)
		}
	}
}

func TestSearchUsers(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	names := []string{"Anna Andersson", "Ann Lee", "Jörg Müller", "Bob Anders", "李 小龍", "", "***"}
	of := map[string]string{}
	for i, name := range names {
		of[f.user(t, ctx, fmt.Sprintf("user%d@example.com", i), name)] = name
		f.advance(time.Millisecond)
	}
	for text, want := range map[string][]string{
		"an":             {"Anna Andersson", "Ann Lee", "Bob Anders"},
		"AND":            {"Anna Andersson", "Bob Anders"},
		"anders an":      {"Anna Andersson", "Bob Anders"},
		"anna anders":    {"Anna Andersson"},
		"jörg":           {"Jörg Müller"},
		"ＪÖＲＧ":           {"Jörg Müller"},
		"MU\u0308LL":     {"Jörg Müller"},
		"李":              {"李 小龍"},
		"小":              {"李 小龍"},
		"龍":              nil,
		"nobody":         nil,
		"***":            nil,
		"%":              nil,
		"anders_":        {"Anna Andersson", "Bob Anders"},
		"ann lee  ann ":  {"Ann Lee"},
		"a b c d e f":    nil,
		"bob anders bob": {"Bob Anders"},
	} {
		t.Run(text, func(t *testing.T) {
			got := map[string]int{}
			for _, u := range f.listUsers(t, ctx, &identityv1.ListUsersRequest{Search: text, PageSize: 1}) {
				got[of[u.GetId()]]++
			}
			wanted := map[string]int{}
			for _, name := range want {
				wanted[name] = 1
			}
			if fmt.Sprint(got) != fmt.Sprint(wanted) {
				t.Errorf("found %v, want each of %v once", got, want)
			}
		})
	}
}

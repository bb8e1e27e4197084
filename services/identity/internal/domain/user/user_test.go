package user_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
)

type command interface {
	Decide(s user.State) ([]proto.Message, error)
}

func parse(t testing.TB, text string) address.Address {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDecide(t *testing.T) {
	ada := id.New(id.User)
	created := &eventv1.UserCreated{User: ada, HomeRegion: "eu-west", Email: "Ada@example.com", Name: "Ada", Locale: "en", Source: "api"}
	verified := proto.CloneOf(created)
	verified.EmailVerified = true
	nobody := proto.CloneOf(created)
	nobody.Email = ""
	suspended, resumed, erased := &eventv1.UserSuspended{User: ada}, &eventv1.UserResumed{User: ada}, &eventv1.UserErased{User: ada}
	create := user.Create{
		ID: ada, HomeRegion: "eu-west", Regions: []string{"eu-west"}, Email: parse(t, "Ada@example.com"), Name: "Ada", Source: "api",
	}
	changed := func(change func(c *user.Create)) user.Create {
		c := create
		change(&c)
		return c
	}
	given := func(events ...proto.Message) []proto.Message { return events }
	for name, tc := range map[string]struct {
		given []proto.Message
		when  command
		then  []proto.Message
		want  commonv1.Reason
	}{
		"create":                     {nil, create, given(created), 0},
		"create without an address":  {nil, changed(func(c *user.Create) { c.Email = address.Address{} }), given(nobody), 0},
		"create in German":           {nil, changed(func(c *user.Create) { c.Locale = "de" }), given(&eventv1.UserCreated{User: ada, HomeRegion: "eu-west", Email: "Ada@example.com", Name: "Ada", Locale: "de", Source: "api"}), 0},
		"create again":               {given(created), create, nil, commonv1.Reason_ALREADY_EXISTS},
		"create who was erased":      {given(created, erased), create, nil, commonv1.Reason_ALREADY_EXISTS},
		"create with another id":     {nil, changed(func(c *user.Create) { c.ID = id.New(id.Organization) }), nil, commonv1.Reason_INVALID_FIELD},
		"create in no region":        {nil, changed(func(c *user.Create) { c.HomeRegion = "mars" }), nil, commonv1.Reason_INVALID_FIELD},
		"create verified nothing":    {nil, changed(func(c *user.Create) { c.Email, c.EmailVerified = address.Address{}, true }), nil, commonv1.Reason_INVALID_FIELD},
		"rename":                     {given(created), user.Update{Name: new("Ada L")}, given(&eventv1.UserProfileChanged{User: ada, Name: "Ada L", Locale: "en"}), 0},
		"rename to nothing":          {given(created), user.Update{Name: new("")}, given(&eventv1.UserProfileChanged{User: ada, Locale: "en"}), 0},
		"same name":                  {given(created), user.Update{Name: new("Ada"), Locale: new("en"), EmailVerified: new(false)}, nil, 0},
		"nothing to update":          {given(created), user.Update{}, nil, 0},
		"verify":                     {given(created), user.Update{EmailVerified: new(true)}, given(&eventv1.UserEmailChanged{User: ada, Email: "Ada@example.com", Verified: true}), 0},
		"verify nothing":             {given(nobody), user.Update{EmailVerified: new(true)}, nil, commonv1.Reason_INVALID_FIELD},
		"update all":                 {given(created), user.Update{Locale: new("de"), EmailVerified: new(true)}, given(&eventv1.UserProfileChanged{User: ada, Name: "Ada", Locale: "de"}, &eventv1.UserEmailChanged{User: ada, Email: "Ada@example.com", Verified: true}), 0},
		"update a suspended user":    {given(created, suspended), user.Update{Name: new("A")}, given(&eventv1.UserProfileChanged{User: ada, Name: "A", Locale: "en"}), 0},
		"update nobody":              {nil, user.Update{}, nil, commonv1.Reason_NOT_FOUND},
		"update who was erased":      {given(created, erased), user.Update{}, nil, commonv1.Reason_USER_ERASED},
		"another address":            {given(verified), user.ChangeEmail{Email: parse(t, "b@example.com")}, given(&eventv1.UserEmailChanged{User: ada, Email: "b@example.com"}), 0},
		"another address, verified":  {given(created), user.ChangeEmail{Email: parse(t, "b@example.com"), Verified: true}, given(&eventv1.UserEmailChanged{User: ada, Email: "b@example.com", Verified: true}), 0},
		"same address":               {given(verified), user.ChangeEmail{Email: parse(t, "Ada@example.com")}, nil, 0},
		"same address, verified now": {given(created), user.ChangeEmail{Email: parse(t, "Ada@example.com"), Verified: true}, given(&eventv1.UserEmailChanged{User: ada, Email: "Ada@example.com", Verified: true}), 0},
		"same address, other case":   {given(verified), user.ChangeEmail{Email: parse(t, "ADA@example.com")}, given(&eventv1.UserEmailChanged{User: ada, Email: "ADA@example.com", Verified: true}), 0},
		"first address":              {given(nobody), user.ChangeEmail{Email: parse(t, "a@example.com")}, given(&eventv1.UserEmailChanged{User: ada, Email: "a@example.com"}), 0},
		"address of nobody":          {nil, user.ChangeEmail{Email: parse(t, "a@example.com")}, nil, commonv1.Reason_NOT_FOUND},
		"address of the erased":      {given(created, erased), user.ChangeEmail{Email: parse(t, "a@example.com")}, nil, commonv1.Reason_USER_ERASED},
		"suspend":                    {given(created), user.Suspend{}, given(suspended), 0},
		"suspend twice":              {given(created, suspended), user.Suspend{}, nil, 0},
		"suspend nobody":             {nil, user.Suspend{}, nil, commonv1.Reason_NOT_FOUND},
		"suspend the erased":         {given(created, erased), user.Suspend{}, nil, commonv1.Reason_USER_ERASED},
		"resume":                     {given(created, suspended), user.Resume{}, given(resumed), 0},
		"resume the active":          {given(created), user.Resume{}, nil, 0},
		"resume the erased":          {given(created, suspended, erased), user.Resume{}, nil, commonv1.Reason_USER_ERASED},
		"resume nobody":              {nil, user.Resume{}, nil, commonv1.Reason_NOT_FOUND},
		"erase":                      {given(created), user.Erase{KeyDigest: []byte{1}}, given(&eventv1.UserErased{User: ada, KeyDigest: []byte{1}}), 0},
		"erase the suspended":        {given(created, suspended), user.Erase{}, given(erased), 0},
		"erase twice":                {given(created, erased), user.Erase{}, nil, 0},
		"erase nobody":               {nil, user.Erase{}, nil, commonv1.Reason_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			var state user.State
			for _, e := range tc.given {
				state.Apply(e)
			}
			events, err := tc.when.Decide(state)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
				return
			}
			if err != nil || len(events) != len(tc.then) {
				t.Fatalf("Decide = %v, %v; want %v", events, err, tc.then)
			}
			for i := range events {
				if !proto.Equal(events[i], tc.then[i]) {
					t.Errorf("event %d is %v, want %v", i, events[i], tc.then[i])
				}
			}
		})
	}
}

// A state holds personal data, and prints none.
func TestPrinting(t *testing.T) {
	var state user.State
	state.Apply(&eventv1.UserCreated{User: id.New(id.User), Email: "ada@example.com", Name: "Ada"})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, state); got != "REDACTED" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// FuzzLife runs commands one after another. Each returns events or an error; the
// same command decides nothing more; nothing follows an erasure; and without its
// personal data, the log tells the same but for the profile.
func FuzzLife(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0, 6, 6, 7, 8, 1, 0})
	ada := id.New(id.User)
	a, b := parse(f, "a@example.com"), parse(f, "A@example.com")
	commands := []command{
		user.Create{ID: ada, HomeRegion: "eu", Regions: []string{"eu"}, Email: a, Source: "api"},
		user.Update{Name: new("Ada")},
		user.Update{Locale: new("de"), EmailVerified: new(true)},
		user.Update{EmailVerified: new(false)},
		user.ChangeEmail{Email: a},
		user.ChangeEmail{Email: b, Verified: true},
		user.Suspend{},
		user.Resume{},
		user.Erase{KeyDigest: []byte{1}},
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		var state, sealed user.State
		for _, step := range script[:min(len(script), 100)] {
			c := commands[int(step)%len(commands)]
			events, err := c.Decide(state)
			if err != nil && events != nil {
				t.Fatalf("%T: events and an error", c)
			}
			if state.Status == user.Erased && len(events) > 0 {
				t.Fatalf("%T after the erasure: %v", c, events)
			}
			for _, e := range events {
				state.Apply(e)
				sealed.Apply(stripped(e))
			}
			if again, err := c.Decide(state); err == nil && len(again) > 0 {
				t.Fatalf("%T twice: %v", c, again)
			}
		}
		if state.Status == user.Erased && state.Profile != (user.Profile{}) {
			t.Fatal("an erased user has a profile")
		}
		state.Profile, sealed.Profile = user.Profile{}, user.Profile{}
		if state != sealed {
			t.Fatal("what is not personal depends on what is")
		}
	})
}

// stripped is an event without personal data.
func stripped(event proto.Message) proto.Message {
	event = proto.Clone(event)
	switch e := event.(type) {
	case *eventv1.UserCreated:
		e.Email, e.Name, e.Locale = "", "", ""
	case *eventv1.UserProfileChanged:
		e.Name, e.Locale = "", ""
	case *eventv1.UserEmailChanged:
		e.Email = ""
	}
	return event
}

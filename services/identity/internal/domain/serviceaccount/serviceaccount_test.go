package serviceaccount_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/serviceaccount"
)

var (
	org     = id.New(id.Organization)
	account = id.New(id.ServiceAccount)
)

func created() proto.Message {
	return &eventv1.ServiceAccountCreated{ServiceAccount: account, Organization: org, Name: "CI", Description: "builds"}
}

func disabled() proto.Message {
	return &eventv1.ServiceAccountDisabled{ServiceAccount: account, Organization: org}
}

func enabled() proto.Message {
	return &eventv1.ServiceAccountEnabled{ServiceAccount: account, Organization: org}
}

func changed(name, description string) proto.Message {
	return &eventv1.ServiceAccountChanged{ServiceAccount: account, Name: name, Description: description}
}

func deleted() proto.Message {
	return &eventv1.ServiceAccountDeleted{ServiceAccount: account, Organization: org}
}

func fold(events ...proto.Message) (s serviceaccount.State) {
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

type command interface {
	Decide(s serviceaccount.State) ([]proto.Message, error)
}

func TestDecide(t *testing.T) {
	good := serviceaccount.Create{ID: account, Organization: org, Name: " CI ", Description: "builds", Others: serviceaccount.Limit - 1}
	with := func(change func(*serviceaccount.Create)) serviceaccount.Create {
		c := good
		change(&c)
		return c
	}
	revoked := &eventv1.ApiTokenRevoked{Token: id.New(id.Token)}
	for name, tc := range map[string]struct {
		given []proto.Message
		when  command
		then  []proto.Message
		want  commonv1.Reason
	}{
		"create":                      {when: good, then: []proto.Message{created()}},
		"create what exists":          {given: []proto.Message{created()}, when: good, want: commonv1.Reason_ALREADY_EXISTS},
		"create what was deleted":     {given: []proto.Message{created(), deleted()}, when: good, then: []proto.Message{created()}},
		"create one more than may be": {when: with(func(c *serviceaccount.Create) { c.Others++ }), want: commonv1.Reason_LIMIT_REACHED},
		"create without a name":       {when: with(func(c *serviceaccount.Create) { c.Name = "  " }), want: commonv1.Reason_INVALID_FIELD},
		"create with a long name":     {when: with(func(c *serviceaccount.Create) { c.Name = strings.Repeat("x", 201) }), want: commonv1.Reason_INVALID_FIELD},
		"create with a group's id":    {when: with(func(c *serviceaccount.Create) { c.ID = id.New(id.Group) }), want: commonv1.Reason_INVALID_FIELD},

		"update what is absent":     {when: serviceaccount.Update{}, want: commonv1.Reason_NOT_FOUND},
		"update nothing":            {given: []proto.Message{created()}, when: serviceaccount.Update{}},
		"update to what is":         {given: []proto.Message{created()}, when: serviceaccount.Update{Name: new("CI"), Description: new("builds"), Disabled: new(false)}},
		"rename":                    {given: []proto.Message{created()}, when: serviceaccount.Update{Name: new("ci")}, then: []proto.Message{changed("ci", "builds")}},
		"rename to nothing":         {given: []proto.Message{created()}, when: serviceaccount.Update{Name: new("")}, want: commonv1.Reason_INVALID_FIELD},
		"describe":                  {given: []proto.Message{created()}, when: serviceaccount.Update{Description: new("")}, then: []proto.Message{changed("CI", "")}},
		"disable":                   {given: []proto.Message{created()}, when: serviceaccount.Update{Disabled: new(true)}, then: []proto.Message{disabled()}},
		"disable again":             {given: []proto.Message{created(), disabled()}, when: serviceaccount.Update{Disabled: new(true)}},
		"enable":                    {given: []proto.Message{created(), disabled()}, when: serviceaccount.Update{Disabled: new(false)}, then: []proto.Message{enabled()}},
		"rename and disable":        {given: []proto.Message{created()}, when: serviceaccount.Update{Name: new("x"), Disabled: new(true)}, then: []proto.Message{changed("x", "builds"), disabled()}},
		"rename badly, and disable": {given: []proto.Message{created()}, when: serviceaccount.Update{Name: new("\x00"), Disabled: new(true)}, want: commonv1.Reason_INVALID_FIELD},

		"delete what is absent": {when: serviceaccount.Delete{}, want: commonv1.Reason_NOT_FOUND},
		"delete":                {given: []proto.Message{created(), disabled()}, when: serviceaccount.Delete{}, then: []proto.Message{deleted()}},
		"delete after the rest": {given: []proto.Message{created()}, when: serviceaccount.Delete{Before: []proto.Message{revoked}}, then: []proto.Message{revoked, deleted()}},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := tc.when.Decide(fold(tc.given...))
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

// Events of another service account change nothing.
func TestApplyOthers(t *testing.T) {
	other := id.New(id.ServiceAccount)
	before := fold(created())
	after := fold(created(), &eventv1.ServiceAccountDisabled{ServiceAccount: other}, &eventv1.ServiceAccountDeleted{ServiceAccount: other},
		&eventv1.ServiceAccountChanged{ServiceAccount: other, Name: "x"}, &eventv1.GroupDeleted{Group: account})
	if before != after {
		t.Errorf("%+v became %+v", before, after)
	}
}

// FuzzUpdate: events or an error, and done again nothing is left to do.
func FuzzUpdate(f *testing.F) {
	f.Add("CI", "builds", false)
	f.Add("\u0301", "", true)
	f.Add(strings.Repeat("ﷺ", 100), "\xff", true)
	f.Fuzz(func(t *testing.T, name, description string, disable bool) {
		update := serviceaccount.Update{Name: &name, Description: &description, Disabled: &disable}
		state := fold(created())
		events, err := update.Decide(state)
		if err != nil {
			if _, ok := fault.As(err); !ok || events != nil {
				t.Errorf("%v, %v", events, err)
			}
			return
		}
		for _, e := range events {
			state.Apply(e)
		}
		if again, err := update.Decide(state); err != nil || len(again) > 0 {
			t.Errorf("done again: %v, %v", again, err)
		}
		if state.ID != account || state.Organization != org || state.Disabled != disable {
			t.Errorf("state %+v", state)
		}
	})
}

package organization_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

type decider interface {
	Decide(s organization.State) ([]proto.Message, error)
}

const day = 24 * time.Hour

func TestLifecycle(t *testing.T) {
	org := id.New(id.Organization)
	now := time.Date(2026, 11, 1, 12, 0, 0, 1, time.UTC) // a nanosecond more than a row can hold
	at := func(d time.Duration) *timestamppb.Timestamp {
		return timestamppb.New(now.Add(d).Truncate(time.Microsecond))
	}
	created := &eventv1.OrganizationCreated{Organization: org, Slug: "acme", Name: "Acme", HomeRegion: "eu-west"}
	suspended := &eventv1.OrganizationSuspended{Organization: org, Reason: "unpaid"}
	resumed := &eventv1.OrganizationResumed{Organization: org}
	scheduled := func(d time.Duration) proto.Message {
		return &eventv1.OrganizationDeletionScheduled{Organization: org, DeleteAt: at(d)}
	}
	cancelled, deleted := &eventv1.OrganizationDeletionCancelled{Organization: org}, &eventv1.OrganizationDeleted{Organization: org}
	given := func(events ...proto.Message) []proto.Message { return append([]proto.Message{created}, events...) }
	name, same := "Acme Ltd", "Acme"

	for title, tc := range map[string]struct {
		given []proto.Message
		when  decider
		then  []proto.Message
		want  commonv1.Reason
	}{
		"suspend":                         {given(), organization.Suspend{Reason: "unpaid"}, []proto.Message{suspended}, 0},
		"suspend nobody":                  {nil, organization.Suspend{}, nil, commonv1.Reason_NOT_FOUND},
		"suspend twice":                   {given(suspended), organization.Suspend{}, nil, 0},
		"suspend what is to be deleted":   {given(scheduled(day)), organization.Suspend{}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"suspend what is deleted":         {given(deleted), organization.Suspend{}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"resume":                          {given(suspended), organization.Resume{At: now}, []proto.Message{resumed}, 0},
		"resume nobody":                   {nil, organization.Resume{At: now}, nil, commonv1.Reason_NOT_FOUND},
		"resume what is active":           {given(suspended, resumed), organization.Resume{At: now}, nil, 0},
		"resume before the time":          {given(scheduled(1)), organization.Resume{At: now.Add(-day)}, []proto.Message{cancelled}, 0},
		"resume at the time":              {given(scheduled(day)), organization.Resume{At: now.Add(day)}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"resume what is deleted":          {given(deleted), organization.Resume{At: now}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"cancelling ends the suspension":  {given(suspended, scheduled(day), cancelled), organization.Resume{At: now}, nil, 0},
		"delete":                          {given(), organization.Delete{At: now}, []proto.Message{scheduled(30 * day)}, 0},
		"delete what is suspended":        {given(suspended), organization.Delete{At: now}, []proto.Message{scheduled(30 * day)}, 0},
		"delete without grace":            {given(), organization.Delete{At: now, Grace: new(time.Duration)}, []proto.Message{scheduled(0)}, 0},
		"delete after 91 days":            {given(), organization.Delete{At: now, Grace: new(91 * day)}, nil, commonv1.Reason_INVALID_FIELD},
		"delete nobody":                   {nil, organization.Delete{At: now}, nil, commonv1.Reason_NOT_FOUND},
		"delete twice":                    {given(scheduled(day)), organization.Delete{At: now}, nil, 0},
		"delete sooner":                   {given(scheduled(day)), organization.Delete{At: now, Grace: new(time.Duration)}, []proto.Message{scheduled(0)}, 0},
		"delete later":                    {given(scheduled(day)), organization.Delete{At: now, Grace: new(2 * day)}, []proto.Message{scheduled(2 * day)}, 0},
		"delete at the same time":         {given(scheduled(day)), organization.Delete{At: now, Grace: new(day)}, nil, 0},
		"delete later, too late":          {given(scheduled(-day)), organization.Delete{At: now, Grace: new(2 * day)}, nil, 0},
		"delete what is deleted":          {given(deleted), organization.Delete{At: now}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"remove at the time":              {given(scheduled(0)), organization.Remove{At: now}, []proto.Message{deleted}, 0},
		"remove before the time":          {given(scheduled(day)), organization.Remove{At: now}, nil, 0},
		"remove what was resumed":         {given(scheduled(0), cancelled), organization.Remove{At: now}, nil, 0},
		"remove what is deleted":          {given(scheduled(0), deleted), organization.Remove{At: now}, nil, 0},
		"remove nobody":                   {nil, organization.Remove{At: now}, nil, commonv1.Reason_NOT_FOUND},
		"rename":                          {given(), organization.Update{Name: &name}, []proto.Message{&eventv1.OrganizationRenamed{Organization: org, Name: name}}, 0},
		"rename to the same":              {given(), organization.Update{Name: &same}, nil, 0},
		"rename to nothing":               {given(), organization.Update{Name: new(" ")}, nil, commonv1.Reason_INVALID_FIELD},
		"update nothing":                  {given(), organization.Update{}, nil, 0},
		"update nobody":                   {nil, organization.Update{Name: &name}, nil, commonv1.Reason_NOT_FOUND},
		"update what is suspended":        {given(suspended), organization.Update{Name: &name}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"update what was resumed":         {given(suspended, resumed), organization.Update{Name: &same}, nil, 0},
		"update what is to be deleted":    {given(scheduled(day)), organization.Update{Name: &name}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"update what is deleted":          {given(deleted), organization.Update{Name: &name}, nil, commonv1.Reason_ORGANIZATION_STATE},
		"a good name with a bad password": {given(), organization.Update{Name: &name, Settings: &organization.Settings{PasswordMinLength: 7}}, nil, commonv1.Reason_INVALID_FIELD},
	} {
		t.Run(title, func(t *testing.T) {
			var state organization.State
			for _, e := range tc.given {
				state.Apply(e)
			}
			check(t, state, tc.when, tc.then, tc.want)
		})
	}
}

func check(t *testing.T, state organization.State, when decider, then []proto.Message, want commonv1.Reason) {
	t.Helper()
	events, err := when.Decide(state)
	if want != 0 {
		if !fault.Is(err, want) || events != nil {
			t.Fatalf("Decide = %v, %v; want %v and no event", events, err, want)
		}
		return
	}
	if err != nil || len(events) != len(then) {
		t.Fatalf("Decide = %v, %v; want %v", events, err, then)
	}
	for i := range events {
		if !proto.Equal(events[i], then[i]) {
			t.Errorf("event %v, want %v", events[i], then[i])
		}
		state.Apply(events[i])
	}
	if again, err := when.Decide(state); len(again) != 0 && err == nil {
		t.Errorf("decided again: %v", again)
	}
}

func TestSettings(t *testing.T) {
	state := organization.State{ID: id.New(id.Organization), Status: organization.Active}
	all := organization.Settings{
		PasswordMinLength: 16, PasswordAllowBreached: true, PasswordHistory: 24, RequireSecondFactor: true,
		SignInMethods: []string{"passkey", "password", "email", "passkey"},
	}
	events, err := organization.Update{Settings: &all}.Decide(state)
	if err != nil || len(events) != 1 {
		t.Fatalf("Decide = %v, %v", events, err)
	}
	state.Apply(events[0])
	ordered := all
	ordered.SignInMethods = []string{"email", "passkey", "password"}
	if !state.Settings.Equal(ordered) || all.SignInMethods[0] != "passkey" {
		t.Errorf("settings are %+v, want %+v", state.Settings, ordered)
	}
	// All but one stay: settings are set as a whole.
	events, err = organization.Update{Settings: &organization.Settings{PasswordMinLength: 8}}.Decide(state)
	if err != nil || len(events) != 1 {
		t.Fatalf("Decide = %v, %v", events, err)
	}
	state.Apply(events[0])
	if !state.Settings.Equal(organization.Settings{PasswordMinLength: 8}) {
		t.Errorf("settings are %+v", state.Settings)
	}
	for name, bad := range map[string]organization.Settings{
		"settings.password_min_length": {PasswordMinLength: 65},
		"settings.password_history":    {PasswordHistory: 25},
		"settings.sign_in_methods":     {SignInMethods: []string{"carrier pigeon"}},
	} {
		_, err := organization.Update{Settings: &bad}.Decide(state)
		if f, ok := fault.As(err); !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != name {
			t.Errorf("%+v: %v, want INVALID_FIELD of %s", bad, err, name)
		}
	}
	if got := (organization.Settings{}).PasswordLength(); got != 12 {
		t.Errorf("the standard length is %d", got)
	}
	if (organization.Settings{SignInMethods: []string{"passkey"}}).Allows("password") || !(organization.Settings{}).Allows("password") {
		t.Error("Allows is wrong")
	}
}

func TestOpen(t *testing.T) {
	for status, want := range map[organization.Status]string{
		organization.Active: "", organization.Suspended: "suspended", organization.Deleting: "deleting", organization.Deleted: "deleted",
	} {
		err := organization.State{ID: "org", Status: status}.Open()
		f, ok := fault.As(err)
		if want == "" && err != nil || want != "" && (!ok || f.Reason != commonv1.Reason_ORGANIZATION_STATE || f.Meta["state"] != want) {
			t.Errorf("%v: %v, want ORGANIZATION_STATE %q", status, err, want)
		}
	}
	if err := (organization.State{}).Open(); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("nobody: %v, want NOT_FOUND", err)
	}
}

// Any commands in any order: events or an error; what is deleted stays deleted, and
// only after its time; nobody is resumed from that time on.
func FuzzLifecycle(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 40, 4, 1, 0})
	f.Add([]byte{3, 4, 4, 1, 2, 0, 5})
	f.Fuzz(func(t *testing.T, steps []byte) {
		now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		var state organization.State
		state.Apply(&eventv1.OrganizationCreated{Organization: "org", Slug: "acme", Name: "Acme", HomeRegion: "eu"})
		for _, step := range steps[:min(len(steps), 200)] {
			now = now.Add(time.Duration(step) * time.Hour)
			grace := time.Duration(step) * time.Hour
			commands := []decider{
				organization.Suspend{},
				organization.Resume{At: now},
				organization.Delete{At: now},
				organization.Delete{At: now, Grace: &grace},
				organization.Remove{At: now},
				organization.Update{Name: new("Acme 2")},
				organization.Update{Settings: &organization.Settings{PasswordHistory: uint32(step)}},
			}
			before := state
			events, err := commands[int(step)%len(commands)].Decide(state)
			if err != nil && events != nil {
				t.Fatalf("%v and %v", events, err)
			}
			for _, e := range events {
				state.Apply(e)
			}
			switch {
			case before.Status == organization.Deleted && !state.Equal(before):
				t.Fatalf("a deleted organization became %+v", state)
			case state.Status == organization.Deleted && before.Status != organization.Deleted && !before.Due(now):
				t.Fatalf("deleted before its time: %+v at %v", before, now)
			case before.Due(now) && state.Status != organization.Deleted && !state.Equal(before):
				t.Fatalf("changed after its time: %+v became %+v", before, state)
			case (state.Status == organization.Deleting) == state.DeleteAt.IsZero():
				t.Fatalf("a time without a deletion, or the reverse: %+v", state)
			}
		}
	})
}

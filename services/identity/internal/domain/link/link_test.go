package link_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/link"
)

var user = id.New(id.User)

func linked(source, external string) proto.Message {
	return &eventv1.UserLinked{User: user, Source: source, ExternalId: external}
}

func password(credential string) proto.Message {
	return &eventv1.PasswordSet{User: user, Credential: credential}
}

func deleted(credential string) proto.Message {
	return &eventv1.CredentialDeleted{User: user, Credential: credential}
}

func fold(events ...proto.Message) (s link.State) {
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func TestMigrated(t *testing.T) {
	for name, tc := range map[string]struct {
		given []proto.Message
		want  []bool
	}{
		"without a password":           {[]proto.Message{linked("a", "1")}, []bool{false}},
		"with one":                     {[]proto.Message{linked("a", "1"), linked("b", "1"), password("p")}, []bool{true, true}},
		"with one before":              {[]proto.Message{password("p"), linked("a", "1")}, []bool{true}},
		"password gone before":         {[]proto.Message{password("p"), deleted("p"), linked("a", "1")}, []bool{false}},
		"password gone after":          {[]proto.Message{linked("a", "1"), password("p"), deleted("p")}, []bool{true}},
		"another credential gone":      {[]proto.Message{password("p"), deleted("k"), linked("a", "1")}, []bool{true}},
		"a second link, after a time":  {[]proto.Message{linked("a", "1"), password("p"), deleted("p"), linked("b", "1")}, []bool{true, false}},
		"events about other things":    {[]proto.Message{linked("a", "1"), &eventv1.UserSuspended{User: user}}, []bool{false}},
		"nobody was imported":          {[]proto.Message{password("p")}, nil},
		"two of one source, one event": {[]proto.Message{linked("a", "1"), linked("a", "2")}, []bool{false, false}},
	} {
		var got []bool
		for _, l := range fold(tc.given...).Links {
			got = append(got, l.Migrated)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestErasureLeavesTheLink(t *testing.T) {
	s := fold(linked("a", "ada@example.com"), password("p"), &eventv1.UserErased{User: user})
	if want := (link.Link{Source: "a", Migrated: true}); len(s.Links) != 1 || s.Links[0] != want {
		t.Errorf("%+v, want %+v", s.Links, want)
	}
}

func TestJoin(t *testing.T) {
	full := make([]proto.Message, link.MaxOfUser)
	for i := range full {
		full[i] = linked("a", string(rune('a'+i)))
	}
	for name, tc := range map[string]struct {
		given []proto.Message
		when  link.Join
		want  commonv1.Reason
	}{
		"new user":                     {},
		"new user, verified there":     {when: link.Join{Claimed: true}},
		"found, verified on both":      {when: link.Join{Found: true, Claimed: true, Proven: true}},
		"found, verified there only":   {when: link.Join{Found: true, Claimed: true}, want: commonv1.Reason_ALREADY_EXISTS},
		"found, verified here only":    {when: link.Join{Found: true, Proven: true}, want: commonv1.Reason_ALREADY_EXISTS},
		"found, verified nowhere":      {when: link.Join{Found: true}, want: commonv1.Reason_ALREADY_EXISTS},
		"the last link that may be":    {given: full[1:], when: link.Join{Found: true, Claimed: true, Proven: true}},
		"one link too many":            {given: full, when: link.Join{Found: true, Claimed: true, Proven: true}, want: commonv1.Reason_LIMIT_REACHED},
		"too many, and not the person": {given: full, when: link.Join{Found: true}, want: commonv1.Reason_ALREADY_EXISTS},
	} {
		t.Run(name, func(t *testing.T) {
			tc.when.User, tc.when.Source, tc.when.ExternalID = user, "console", "4711"
			events, err := tc.when.Decide(fold(tc.given...))
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
				return
			}
			if err != nil || len(events) != 1 || !proto.Equal(events[0], linked("console", "4711")) {
				t.Errorf("Decide = %v, %v", events, err)
			}
		})
	}
}

// FuzzState: whatever the events, a link stays, in its place, and stays migrated.
func FuzzState(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 4})
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 200 {
			return
		}
		var s link.State
		for _, step := range steps {
			before := slices.Clone(s.Links)
			s.Apply([]proto.Message{
				linked("a", "1"), password("p"), password("q"), deleted("p"), deleted("k"), &eventv1.UserErased{User: user},
			}[int(step)%6])
			if len(s.Links) < len(before) {
				t.Fatalf("%v: a link is gone", steps)
			}
			for i, l := range before {
				if s.Links[i].Source != l.Source || l.Migrated && !s.Links[i].Migrated || l.ExternalID == "" && s.Links[i].ExternalID != "" {
					t.Fatalf("%v: %+v became %+v", steps, l, s.Links[i])
				}
			}
		}
	})
}

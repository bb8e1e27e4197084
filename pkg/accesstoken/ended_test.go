package accesstoken_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/id"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

func TestEnded(t *testing.T) {
	t.Parallel()
	envelope := &logv1.Envelope{Time: timestamppb.New(now)}
	for name, tc := range map[string]struct {
		event proto.Message
		kind  accesstoken.Kind
		id    string
		org   string
	}{
		"session revoked":                    {&sessionsv1.SessionRevoked{Session: "x"}, accesstoken.Session, "x", ""},
		"grant revoked":                      {&sessionsv1.GrantRevoked{Grant: "x", Client: "c"}, accesstoken.Grant, "x", ""},
		"client blocked":                     {&sessionsv1.ClientBlocked{Client: "x"}, accesstoken.Client, "x", ""},
		"client blocked for an organization": {&sessionsv1.ClientBlocked{Client: "x", Organization: "y"}, accesstoken.ClientFor, "x", "y"},
		"client disabled":                    {&sessionsv1.ClientDisabled{Client: "x"}, accesstoken.Client, "x", ""},
		"client deleted":                     {&sessionsv1.ClientDeleted{Client: "x"}, accesstoken.Client, "x", ""},
		"trust deleted":                      {&sessionsv1.TrustDeleted{Trust: "x"}, accesstoken.Client, "x", ""},
		"client's token revoked":             {&sessionsv1.ClientTokenRevoked{Client: "c", Token: "x"}, accesstoken.Token, "x", ""},
		"key deleted, emergency":             {&sessionsv1.SigningKeyDeleted{Kid: "x", Emergency: true}, accesstoken.Key, "x", ""},
		"key deleted in its time":            {&sessionsv1.SigningKeyDeleted{Kid: "x"}, 0, "", ""},
		"user suspended":                     {&identityv1.UserSuspended{User: "x"}, accesstoken.Subject, "x", ""},
		"user erased":                        {&identityv1.UserErased{User: "x"}, accesstoken.Subject, "x", ""},
		"account disabled":                   {&identityv1.ServiceAccountDisabled{ServiceAccount: "x", Organization: "o"}, accesstoken.Subject, "x", ""},
		"account deleted":                    {&identityv1.ServiceAccountDeleted{ServiceAccount: "x", Organization: "o"}, accesstoken.Subject, "x", ""},
		"organization suspended":             {&identityv1.OrganizationSuspended{Organization: "x"}, accesstoken.Organization, "x", ""},
		"deletion scheduled":                 {&identityv1.OrganizationDeletionScheduled{Organization: "x"}, accesstoken.Organization, "x", ""},
		"organization deleted":               {&identityv1.OrganizationDeleted{Organization: "x"}, accesstoken.Organization, "x", ""},
		"member suspended":                   {&identityv1.MembershipSuspended{User: "x", Organization: "o"}, accesstoken.Member, "x", "o"},
		"member removed":                     {&identityv1.MembershipRemoved{User: "x", Organization: "o"}, accesstoken.Member, "x", "o"},
		"user resumed":                       {&identityv1.UserResumed{User: "x"}, 0, "", ""},
		"role changed":                       {&identityv1.MembershipRoleChanged{User: "x"}, 0, "", ""},
	} {
		entries, known := accesstoken.Ended(envelope, tc.event)
		var want []accesstoken.Entry
		if tc.kind != 0 {
			want = []accesstoken.Entry{{Kind: tc.kind, ID: tc.id, Organization: tc.org, NotBefore: now.UTC()}}
		}
		if diff := cmp.Diff(want, entries); diff != "" || !known {
			t.Errorf("%s: known %t %s", name, known, diff)
		}
	}
	if entries, known := accesstoken.Ended(envelope, envelope); known || entries != nil {
		t.Error("what is not declared is known")
	}
}

// Every event that there is was thought about.
func TestEveryEventIsKnown(t *testing.T) {
	t.Parallel()
	events := 0
	protoregistry.GlobalTypes.RangeMessages(func(typ protoreflect.MessageType) bool {
		name := string(typ.Descriptor().FullName())
		if !accesstoken.Concerns(name) || strings.HasSuffix(name, "Settings") {
			return true
		}
		events++
		if _, known := accesstoken.Ended(&logv1.Envelope{}, typ.New().Interface()); !known {
			t.Errorf("%s: say in Ended what it takes back, or that it takes back nothing", name)
		}
		return true
	})
	if events < 50 {
		t.Errorf("%d events", events)
	}
}

func TestEndedAll(t *testing.T) {
	t.Parallel()
	organization, user := id.New(id.Organization), id.New(id.User)
	for log, want := range map[string][]accesstoken.Entry{
		organization: {{Kind: accesstoken.Organization, ID: organization, NotBefore: now.UTC()}},
		user:         {{Kind: accesstoken.Subject, ID: user, NotBefore: now.UTC()}},
		"platform":   nil,
	} {
		got := accesstoken.EndedAll(&logv1.Envelope{Log: log, Time: timestamppb.New(now)})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", log, diff)
		}
	}
}

package node

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// anything takes every bearer for the token of a service account of org_1.
type anything struct{}

func (anything) Verify(context.Context, secret.String) (principal.Principal, error) {
	return principal.Principal{Kind: principal.APIToken, ID: "tok_1", Organization: "org_1", ServiceAccount: "svc_1"}, nil
}

func TestEventsThatTheTokenCacheHeeds(t *testing.T) {
	for name, tc := range map[string]struct {
		log      string
		event    proto.Message
		forgets  bool
		forGood  bool
		mistyped bool
	}{
		"revoked":               {log: "org_1", event: &eventv1.ApiTokenRevoked{Token: "tok_1"}, forgets: true, forGood: true},
		"another revoked":       {log: "org_1", event: &eventv1.ApiTokenRevoked{Token: "tok_2"}},
		"expiry changed":        {log: "org_1", event: &eventv1.ApiTokenExpiryChanged{Token: "tok_1"}, forgets: true},
		"suspended":             {log: "org_1", event: &eventv1.OrganizationSuspended{}, forgets: true},
		"another's suspension":  {log: "org_2", event: &eventv1.OrganizationSuspended{Organization: "org_1"}},
		"resumed":               {log: "org_1", event: &eventv1.OrganizationResumed{}, forgets: true},
		"deletion scheduled":    {log: "org_1", event: &eventv1.OrganizationDeletionScheduled{}, forgets: true},
		"deletion cancelled":    {log: "org_1", event: &eventv1.OrganizationDeletionCancelled{}, forgets: true},
		"deleted":               {log: "org_1", event: &eventv1.OrganizationDeleted{}, forgets: true},
		"account disabled":      {log: "org_1", event: &eventv1.ServiceAccountDisabled{ServiceAccount: "svc_1"}, forgets: true},
		"account enabled":       {log: "org_1", event: &eventv1.ServiceAccountEnabled{ServiceAccount: "svc_1"}, forgets: true},
		"account deleted":       {log: "org_1", event: &eventv1.ServiceAccountDeleted{ServiceAccount: "svc_1"}, forgets: true},
		"another's deleted":     {log: "org_1", event: &eventv1.ServiceAccountDeleted{ServiceAccount: "svc_2"}},
		"account renamed":       {log: "org_1", event: &eventv1.ServiceAccountChanged{ServiceAccount: "svc_1"}},
		"renamed":               {log: "org_1", event: &eventv1.OrganizationRenamed{}},
		"of no interest":        {log: "org_1", event: &eventv1.DomainAdded{}},
		"bytes that are no one": {log: "org_1", event: &eventv1.OrganizationSuspended{}, mistyped: true},
	} {
		t.Run(name, func(t *testing.T) {
			cache := principal.NewCache(principal.CacheConfig{Upstream: anything{}})
			bearer := secret.NewString("bearer")
			if _, err := cache.Verify(t.Context(), bearer); err != nil {
				t.Fatal(err)
			}
			heed(cache, recorded(t, tc.log, tc.event, tc.mistyped))
			if _, known := cache.Known(bearer); known == tc.forgets {
				t.Errorf("known %v, want forgotten %v", known, tc.forgets)
			}
			if _, err := cache.Verify(t.Context(), bearer); (err != nil) != tc.forGood {
				t.Errorf("verified again: %v, want refused %v", err, tc.forGood)
			}
		})
	}
}

func recorded(t *testing.T, log string, event proto.Message, mistyped bool) eventlog.Recorded {
	t.Helper()
	data, err := proto.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if mistyped {
		data = []byte{0xff}
	}
	return eventlog.Recorded{Envelope: &logv1.Envelope{
		Log: log, Sequence: 1, Type: string(event.ProtoReflect().Descriptor().FullName()), Data: data,
	}}
}

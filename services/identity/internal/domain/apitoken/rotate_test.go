package apitoken_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
)

const day = 24 * time.Hour

func TestRotate(t *testing.T) {
	scopes := []string{"meridian.authz.v1.CheckService"}
	old := &eventv1.ApiTokenCreated{
		Token: token, Name: "ci", Organization: org, Level: commonv1.Level_LEVEL_WRITE, ExpiresAt: timestamppb.New(now.Add(10 * day)),
		ServiceAccount: "svc_1", Scopes: scopes,
	}
	next := id.New(id.Token)
	good := apitoken.Rotate{ID: next, Old: token, Organization: org, At: now, Caller: commonv1.Level_LEVEL_ADMIN}
	revoked := &eventv1.ApiTokenRevoked{Token: token}
	for name, tc := range map[string]struct {
		given []proto.Message
		when  func(*apitoken.Rotate)
		want  commonv1.Reason
		// ends is when the old token ends then; zero: as before.
		ends    time.Duration
		expires time.Duration
	}{
		"a day of overlap":         {given: []proto.Message{old}, ends: day, expires: 90 * day},
		"as asked":                 {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Overlap, c.Lifetime = time.Hour, 2*time.Hour }, ends: time.Hour, expires: 2 * time.Hour},
		"longer than the old has":  {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Overlap = 30 * day }, expires: 90 * day},
		"too long an overlap":      {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Overlap = 30*day + 1 }, want: commonv1.Reason_INVALID_FIELD},
		"negative overlap":         {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Overlap = -1 }, want: commonv1.Reason_INVALID_FIELD},
		"too long a life":          {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Lifetime = 367 * day }, want: commonv1.Reason_INVALID_FIELD},
		"another is live":          {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Related = true }, want: commonv1.Reason_LIMIT_REACHED},
		"absent":                   {want: commonv1.Reason_NOT_FOUND},
		"another organization's":   {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Organization = "" }, want: commonv1.Reason_NOT_FOUND},
		"revoked":                  {given: []proto.Message{old, revoked}, want: commonv1.Reason_NOT_FOUND},
		"expired":                  {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.At = now.Add(10 * day) }, want: commonv1.Reason_NOT_FOUND},
		"ended by a rotation":      {given: []proto.Message{old, &eventv1.ApiTokenExpiryChanged{Token: token, ExpiresAt: timestamppb.New(now)}}, want: commonv1.Reason_NOT_FOUND},
		"malformed id":             {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.ID = "tok_1" }, want: commonv1.Reason_INVALID_FIELD},
		"more than the caller":     {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.Caller = commonv1.Level_LEVEL_READ }, want: commonv1.Reason_ACCESS_DENIED},
		"beyond the caller's own":  {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.CallerScopes = apitoken.Scopes{"meridian.authz.v1.CheckService/Check"} }, want: commonv1.Reason_ACCESS_DENIED},
		"within the caller's own":  {given: []proto.Message{old}, when: func(c *apitoken.Rotate) { c.CallerScopes = scopes }, ends: day, expires: 90 * day},
		"events of another's time": {given: []proto.Message{old, &eventv1.ApiTokenExpiryChanged{Token: next, ExpiresAt: timestamppb.New(now)}}, ends: day, expires: 90 * day},
	} {
		t.Run(name, func(t *testing.T) {
			command, before := good, fold(tc.given...)
			if tc.when != nil {
				tc.when(&command)
			}
			events, err := command.Decide(before)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			after := before
			for _, e := range events {
				if _, created := e.(*eventv1.ApiTokenCreated); !created {
					after.Apply(e)
				}
			}
			made := fold(events...)
			want := apitoken.State{
				ID: next, Name: "ci", Organization: org, Level: commonv1.Level_LEVEL_WRITE, ExpiresAt: now.Add(tc.expires),
				ServiceAccount: "svc_1", Scopes: scopes, Replaces: token,
			}
			if !made.Equal(want) {
				t.Errorf("made %+v, want %+v", made, want)
			}
			ends := before.ExpiresAt
			if tc.ends != 0 {
				ends = now.Add(tc.ends)
			}
			if !after.ExpiresAt.Equal(ends) {
				t.Errorf("the old one ends at %v, want %v", after.ExpiresAt, ends)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	create := func(scopes, caller apitoken.Scopes) ([]proto.Message, error) {
		return apitoken.Create{
			ID: token, Name: "ci", Organization: org, Level: commonv1.Level_LEVEL_READ, Scopes: scopes, At: now,
			Caller: commonv1.Level_LEVEL_ADMIN, CallerScopes: caller,
		}.Decide(apitoken.State{})
	}
	long := "meridian.authz.v1." + strings.Repeat("A", 60)
	var many apitoken.Scopes
	for range 30 {
		many = append(many, long)
	}
	const checks, check, other = "meridian.authz.v1.CheckService", "meridian.authz.v1.CheckService/Check", "meridian.authz.v1.CheckServiceTwo"
	for name, tc := range map[string]struct {
		scopes, caller apitoken.Scopes
		want           commonv1.Reason
	}{
		"none":                            {},
		"two, by an unlimited caller":     {scopes: apitoken.Scopes{check, checks, check}},
		"all, by a limited caller":        {caller: apitoken.Scopes{checks}, want: commonv1.Reason_ACCESS_DENIED},
		"the caller's own":                {scopes: apitoken.Scopes{checks}, caller: apitoken.Scopes{other, checks}},
		"a procedure of the caller's":     {scopes: apitoken.Scopes{check}, caller: apitoken.Scopes{checks}},
		"a service, for one procedure":    {scopes: apitoken.Scopes{checks}, caller: apitoken.Scopes{check}, want: commonv1.Reason_ACCESS_DENIED},
		"one within and one beyond":       {scopes: apitoken.Scopes{check, other}, caller: apitoken.Scopes{checks}, want: commonv1.Reason_ACCESS_DENIED},
		"one whose name begins as theirs": {scopes: apitoken.Scopes{other}, caller: apitoken.Scopes{checks}, want: commonv1.Reason_ACCESS_DENIED},
		"empty":                           {scopes: apitoken.Scopes{""}, want: commonv1.Reason_INVALID_FIELD},
		"a slash only":                    {scopes: apitoken.Scopes{"/"}, want: commonv1.Reason_INVALID_FIELD},
		"a slash at the end":              {scopes: apitoken.Scopes{checks + "/"}, want: commonv1.Reason_INVALID_FIELD},
		"two slashes":                     {scopes: apitoken.Scopes{check + "/x"}, want: commonv1.Reason_INVALID_FIELD},
		"a star":                          {scopes: apitoken.Scopes{"meridian.*"}, want: commonv1.Reason_INVALID_FIELD},
		"a dot at the end":                {scopes: apitoken.Scopes{"meridian."}, want: commonv1.Reason_INVALID_FIELD},
		"more than travels":               {scopes: many, want: commonv1.Reason_INVALID_FIELD},
	} {
		events, err := create(tc.scopes, tc.caller)
		if tc.want != 0 {
			if !fault.Is(err, tc.want) || events != nil {
				t.Errorf("%s: Decide = %v, %v; want %v", name, events, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fold(events...).Scopes; !slices.IsSorted(got) || len(got) != len(slices.Compact(slices.Sorted(slices.Values(tc.scopes)))) {
			t.Errorf("%s: scopes %v of %v", name, got, tc.scopes)
		}
	}
}

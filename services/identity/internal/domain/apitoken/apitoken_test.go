package apitoken_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/bearer"
)

var (
	now   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	token = id.New(id.Token)
	org   = id.New(id.Organization)
)

func created() *eventv1.ApiTokenCreated {
	return &eventv1.ApiTokenCreated{
		Token: token, Name: "ci", Organization: org, Level: commonv1.Level_LEVEL_READ,
		ExpiresAt: timestamppb.New(now.Add(time.Hour)),
	}
}

func fold(events ...proto.Message) apitoken.State {
	var s apitoken.State
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func TestCreate(t *testing.T) {
	good := apitoken.Create{
		ID: token, Name: "ci", Organization: org, Level: commonv1.Level_LEVEL_WRITE,
		Lifetime: time.Hour, At: now, Caller: commonv1.Level_LEVEL_ADMIN,
	}
	for name, tc := range map[string]struct {
		given []proto.Message
		when  func(*apitoken.Create)
		want  commonv1.Reason
		until time.Time
	}{
		"as asked":         {until: now.Add(time.Hour)},
		"default lifetime": {when: func(c *apitoken.Create) { c.Lifetime = 0 }, until: now.Add(apitoken.DefaultLifetime)},
		"longest lifetime": {when: func(c *apitoken.Create) { c.Lifetime = apitoken.MaxLifetime }, until: now.Add(apitoken.MaxLifetime)},
		"too long":         {when: func(c *apitoken.Create) { c.Lifetime = apitoken.MaxLifetime + 1 }, want: commonv1.Reason_INVALID_FIELD},
		"negative":         {when: func(c *apitoken.Create) { c.Lifetime = -1 }, want: commonv1.Reason_INVALID_FIELD},
		"no level":         {when: func(c *apitoken.Create) { c.Level = 0 }, want: commonv1.Reason_INVALID_FIELD},
		"undefined level":  {when: func(c *apitoken.Create) { c.Level = 4 }, want: commonv1.Reason_INVALID_FIELD},
		"more than caller": {when: func(c *apitoken.Create) { c.Caller = commonv1.Level_LEVEL_READ }, want: commonv1.Reason_ACCESS_DENIED},
		"malformed id":     {when: func(c *apitoken.Create) { c.ID = "tok_1" }, want: commonv1.Reason_INVALID_FIELD},
		"exists":           {given: []proto.Message{created()}, want: commonv1.Reason_ALREADY_EXISTS},
	} {
		t.Run(name, func(t *testing.T) {
			command := good
			if tc.when != nil {
				tc.when(&command)
			}
			events, err := command.Decide(fold(tc.given...))
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
				return
			}
			if err != nil || len(events) != 1 {
				t.Fatalf("Decide = %v, %v; want one event", events, err)
			}
			s := fold(events...)
			if !s.ExpiresAt.Equal(tc.until) || !s.Usable(tc.until.Add(-1)) || s.Usable(tc.until) {
				t.Errorf("token lives until %v, want %v", s.ExpiresAt, tc.until)
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	for name, tc := range map[string]struct {
		given  []proto.Message
		when   apitoken.Revoke
		want   commonv1.Reason
		events int
	}{
		"live":                 {given: []proto.Message{created()}, when: apitoken.Revoke{ID: token, Organization: org}, events: 1},
		"again":                {given: []proto.Message{created(), &eventv1.ApiTokenRevoked{Token: token}}, when: apitoken.Revoke{ID: token, Organization: org}},
		"absent":               {when: apitoken.Revoke{ID: token, Organization: org}, want: commonv1.Reason_NOT_FOUND},
		"other organization's": {given: []proto.Message{created()}, when: apitoken.Revoke{ID: token, Organization: id.New(id.Organization)}, want: commonv1.Reason_NOT_FOUND},
		"as the platform's":    {given: []proto.Message{created()}, when: apitoken.Revoke{ID: token}, want: commonv1.Reason_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			state := fold(tc.given...)
			events, err := tc.when.Decide(state)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
				return
			}
			if err != nil || len(events) != tc.events {
				t.Fatalf("Decide = %v, %v; want %d events", events, err, tc.events)
			}
			for _, e := range events {
				state.Apply(e)
			}
			if state.Usable(now) {
				t.Error("a revoked token is usable")
			}
		})
	}
}

func TestSecretRoundTrip(t *testing.T) {
	text, stored := apitoken.NewSecret(token, bearer.Random{1})
	gotToken, gotHash, err := apitoken.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	if gotToken != token || !gotHash.Equal(stored[:]) {
		t.Errorf("ParseSecret = %s, another hash", gotToken)
	}
	other, _ := apitoken.NewSecret(token, bearer.Random{2})
	if other.Reveal() == text.Reveal() {
		t.Error("two secrets of one token are equal")
	}
}

func FuzzParseSecret(f *testing.F) {
	text, _ := apitoken.NewSecret(token, bearer.Random{1})
	f.Add(text.Reveal())
	f.Add("mat_")
	f.Add(strings.Repeat("a", 81))
	f.Fuzz(func(t *testing.T, s string) {
		got, _, err := apitoken.ParseSecret(secret.NewString(s))
		if err != nil {
			if !fault.Is(err, commonv1.Reason_TOKEN_MALFORMED) {
				t.Errorf("%v is not TOKEN_MALFORMED", err)
			}
			return
		}
		if !id.Valid(id.Token, got) {
			t.Errorf("accepted a secret with the token id %q", got)
		}
	})
}

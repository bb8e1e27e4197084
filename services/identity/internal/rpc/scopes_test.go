package rpc_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
)

// A token that was made by another calls nothing that the other may not call.
func FuzzScopesGiveNothingAway(f *testing.F) {
	procedures := []string{
		"meridian.authz.v1.CheckService/Check", "meridian.authz.v1.CheckService/BatchCheck", "meridian.authz.v1.CheckServices/Check",
		"meridian.identity.v1.UserService/GetUser", "meridian.identity.v1.UserService/GetUsers",
	}
	universe := append(slices.Clone(procedures), "meridian.authz.v1.CheckService", "meridian.authz.v1.CheckServices", "meridian.identity.v1.UserService", "meridian", "meridian.authz.v1")
	pick := func(bits uint16) (scopes apitoken.Scopes) {
		for i, scope := range universe {
			if bits&(1<<i) != 0 {
				scopes = append(scopes, scope)
			}
		}
		return scopes
	}
	may := func(scopes apitoken.Scopes, procedure string) bool {
		p := principal.Principal{Kind: principal.APIToken, ID: "tok", Level: commonv1.Level_LEVEL_READ, Scopes: scopes}
		return principal.Authorize(p, "/"+procedure, &commonv1.Access{Scope: commonv1.Scope_SCOPE_PLATFORM, Level: commonv1.Level_LEVEL_READ}, "") == nil
	}
	f.Add(uint16(0), uint16(0))
	f.Add(uint16(1), uint16(1<<5))
	f.Add(uint16(1<<2), uint16(1<<5))
	f.Fuzz(func(t *testing.T, caller, made uint16) {
		callers, scopes := pick(caller), pick(made)
		events, err := apitoken.Create{
			ID: id.New(id.Token), Level: commonv1.Level_LEVEL_READ, At: time.Unix(1_800_000_000, 0), Scopes: scopes, Caller: commonv1.Level_LEVEL_READ, CallerScopes: callers,
		}.Decide(apitoken.State{})
		if (err == nil) == (len(events) == 0) {
			t.Fatalf("%v, %v", events, err)
		}
		if err != nil {
			return
		}
		for _, procedure := range procedures {
			if may(scopesOf(events), procedure) && !may(callers, procedure) {
				t.Errorf("%v made %v, which calls %s", callers, scopes, procedure)
			}
		}
	})
}

func scopesOf(events []proto.Message) apitoken.Scopes {
	var state apitoken.State
	for _, e := range events {
		state.Apply(e)
	}
	return state.Scopes
}

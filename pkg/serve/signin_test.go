package serve_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// All sign-ins of a product come with one token: they have a budget of their own, and
// management another.
func TestSignInsHaveABudget(t *testing.T) {
	t.Parallel()
	limits := serve.Limits{Manage: serve.Rate{PerSecond: 0.001, Burst: 1}, SignIn: serve.Rate{PerSecond: 0.001, Burst: 20}}
	s := start(t, setup{prepare: mountEverything, config: serve.Config{Limits: limits}})
	limited := map[protoreflect.FullName]int{}
	procedures(func(_ protoreflect.ServiceDescriptor, method protoreflect.MethodDescriptor) {
		switch method.FullName() {
		case "meridian.identity.v1.AuthenticationService.StartAuthentication", "meridian.identity.v1.UserService.CreateUser":
			for range 5 {
				if f := faultconnect.FromConnect(callDynamic(t, s, "platform-admin", method)); f != nil && f.Reason == commonv1.Reason_RATE_LIMITED {
					limited[method.FullName()]++
				}
			}
		}
	})
	if limited["meridian.identity.v1.UserService.CreateUser"] != 4 || limited["meridian.identity.v1.AuthenticationService.StartAuthentication"] != 0 {
		t.Errorf("limited: %v, want 4 of 5 managing calls and no sign-in", limited)
	}
}

package serve_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// userless lets no user do anything, and counts how often it is asked.
type userless struct{ asked atomic.Int32 }

func (u *userless) Allowed(ctx context.Context, _, _, _ string) (bool, error) {
	if _, bounded := ctx.Deadline(); bounded {
		u.asked.Add(1)
	}
	return false, nil
}

// forUser sends every request on behalf of a user.
type forUser struct{ next http.RoundTripper }

func (f forUser) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(principal.OnBehalfOfHeader, "usr_00000000000000000000000001")
	return f.next.RoundTrip(r)
}

// What a user may do is asked last, and within the call's deadline: a call that is
// refused for less costs no check.
func TestUsersAreAskedAboutLast(t *testing.T) {
	t.Parallel()
	frozen := time.Now()
	users := new(userless)
	s := start(t, setup{
		clock:      func() time.Time { return frozen },
		delegation: users,
		config:     serve.Config{Limits: serve.Limits{Manage: serve.Rate{PerSecond: 0.001, Burst: 2}}},
	})
	transport := httpClient(t, "acme-admin", true)
	transport.Transport = forUser{transport.Transport}
	organizations := identityv1connect.NewOrganizationServiceClient(transport, s.url)
	for _, step := range []struct {
		name, organization, key string
		want                    commonv1.Reason
		asked                   int32
	}{
		{"another's organization", other, "k", commonv1.Reason_NOT_FOUND, 0},
		{"a broken request", acme, "", commonv1.Reason_INVALID_FIELD, 0},
		{"what the user may not", acme, "k", commonv1.Reason_ACCESS_DENIED, 1},
		{"over the limit", acme, "k", commonv1.Reason_RATE_LIMITED, 1},
	} {
		_, err := organizations.UpdateOrganization(t.Context(), &identityv1.UpdateOrganizationRequest{Organization: step.organization, IdempotencyKey: step.key})
		if f := faultconnect.FromConnect(err); f == nil || f.Reason != step.want {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
		if got := users.asked.Load(); got != step.asked {
			t.Errorf("%s: asked %d times, want %d", step.name, got, step.asked)
		}
	}

	stream, err := authzv1connect.NewRelationshipServiceClient(transport, s.url).ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&authzv1.ImportRelationshipsRequest{Organization: acme, Relationships: relationship("a")})
	_, err = stream.CloseAndReceive()
	if f := faultconnect.FromConnect(err); f == nil || f.Reason != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("a stream, which is for no user: %v", err)
	}
}

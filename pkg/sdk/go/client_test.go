package meridian_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// Every service of the contract is a field of the client, and is made.
func TestEveryServiceHasAClient(t *testing.T) {
	client := reflect.ValueOf(meridian.New("http://127.0.0.1:1", "token")).Elem()
	made := map[string]bool{}
	for field, value := range client.Fields() {
		if field.Type.Kind() == reflect.Interface {
			made[field.Type.Name()] = !value.IsNil()
		}
	}
	services := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if file.Package().Parent().Parent() != "meridian" {
			return true
		}
		for i := range file.Services().Len() {
			services++
			if name := string(file.Services().Get(i).Name()); !made[name+"Client"] {
				t.Errorf("the client has no field for %s", name)
			}
		}
		return true
	})
	if services < 15 {
		t.Errorf("looked at %d services only", services)
	}
}

// users is a region of which the first answer to every procedure is lost.
type users struct {
	identityv1connect.UnimplementedUserServiceHandler

	called atomic.Int64
}

func (u *users) unavailableOnce() error {
	if u.called.Add(1) == 1 {
		return connect.NewError(connect.CodeUnavailable, errors.New("the region is lost"))
	}
	return nil
}

func (u *users) FindUser(context.Context, *identityv1.FindUserRequest) (*identityv1.FindUserResponse, error) {
	return &identityv1.FindUserResponse{}, u.unavailableOnce()
}

func (u *users) SuspendUser(context.Context, *identityv1.SuspendUserRequest) (*identityv1.SuspendUserResponse, error) {
	return &identityv1.SuspendUserResponse{}, u.unavailableOnce()
}

// A read is repeated, and so is a change that has a key; one without is not.
func TestIdentityCallsAreRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		call   func(context.Context, *meridian.Client) error
		called int64
	}{
		"a read": {func(ctx context.Context, c *meridian.Client) error {
			_, err := c.Users.FindUser(ctx, &identityv1.FindUserRequest{Email: "anna@acme.example"})
			return err
		}, 2},
		"a change with a key": {func(ctx context.Context, c *meridian.Client) error {
			_, err := c.Users.SuspendUser(ctx, &identityv1.SuspendUserRequest{IdempotencyKey: "key"})
			return err
		}, 2},
		"a change without a key": {func(ctx context.Context, c *meridian.Client) error {
			_, err := c.Users.SuspendUser(ctx, &identityv1.SuspendUserRequest{})
			return err
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			region := new(users)
			mux := http.NewServeMux()
			mux.Handle(identityv1connect.NewUserServiceHandler(region))
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			err := c.call(t.Context(), open(server.URL))
			if got := region.called.Load(); got != c.called || (err != nil) != (c.called == 1) {
				t.Errorf("called %d times, want %d; %v", got, c.called, err)
			}
		})
	}
}

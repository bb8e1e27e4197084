// Package hometest looks at what a service sends to the home region.
package hometest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Home is the region where everything is at home.
const Home = "eu-west"

// homeRegion answers every call with not_found, and notes it.
type homeRegion struct {
	mu    sync.Mutex
	asked []string
}

func (h *homeRegion) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.URL.Path)
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"code": "not_found", "message": "asked"}`)) // a test's server
}

// Complete fails the test unless every unary change of a Connect service, but
// those in except, is sent to the home region. serve makes the service's handler,
// which needs nothing to execute a call with: none must be executed here.
func Complete(t *testing.T, service string, serve func(ways *home.Router) any, except ...string) {
	t.Helper()
	there := &homeRegion{}
	server := httptest.NewServer(there)
	t.Cleanup(server.Close)
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	handler := serve(home.NewRouter(home.Options{
		Region: "us-east", Service: "test", Key: key, URLs: map[string]string{Home: server.URL},
		Logs: home.NewLogs(func(context.Context, string) (string, uint64, error) { return Home, 1, nil }),
	}))
	ctx := principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: "tok_test", Level: commonv1.Level_LEVEL_ADMIN})
	for _, m := range changes(t, service) {
		if slices.Contains(except, string(m.Name())) {
			continue
		}
		out := reflect.ValueOf(handler).MethodByName(string(m.Name())).Call([]reflect.Value{reflect.ValueOf(ctx), request(t, m)})
		err, _ := reflect.TypeAssert[error](out[1])
		path := "/" + service + "/" + string(m.Name())
		if !fault.Is(err, commonv1.Reason_NOT_FOUND) || !slices.Contains(there.asked, path) {
			t.Errorf("%s is not sent to its home region: %v; wrap it, or say why not", path, err)
		}
	}
}

// changes are the unary procedures of a service that change something.
func changes(t *testing.T, service string) (out []protoreflect.MethodDescriptor) {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	methods := found.(protoreflect.ServiceDescriptor).Methods() //nolint:forcetypeassert // a test's argument
	for i := range methods.Len() {
		m := methods.Get(i)
		options, _ := m.Options().(*descriptorpb.MethodOptions)
		if options.GetIdempotencyLevel() == descriptorpb.MethodOptions_IDEMPOTENT && !m.IsStreamingClient() && !m.IsStreamingServer() {
			out = append(out, m)
		}
	}
	return out
}

// request is an empty one but for the key, and the home region where it has one.
func request(t *testing.T, m protoreflect.MethodDescriptor) reflect.Value {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		t.Fatal(err)
	}
	message := kind.New()
	for name, value := range map[protoreflect.Name]string{"idempotency_key": "key", "home_region": Home} {
		if field := m.Input().Fields().ByName(name); field != nil {
			message.Set(field, protoreflect.ValueOfString(value))
		}
	}
	return reflect.ValueOf(message.Interface())
}

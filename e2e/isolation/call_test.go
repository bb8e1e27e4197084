package isolation_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	// The contract: what is linked here is what the tests go through.
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1/auditv1connect"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// methods returns every method of Meridian, from the descriptors.
func methods() []protoreflect.MethodDescriptor {
	var out []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(f.Package()), "meridian.") {
			return true
		}
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				out = append(out, service.Methods().Get(j))
			}
		}
		return true
	})
	return out
}

func access(m protoreflect.MethodDescriptor) *commonv1.Access {
	a, _ := proto.GetExtension(m.Options(), commonv1.E_Access).(*commonv1.Access)
	return a
}

// call calls a method by its descriptor and returns the error, nil when it
// answered. A stream from the server is left after its first message: some have
// no end.
func call(ctx context.Context, t *testing.T, url, token string, m protoreflect.MethodDescriptor, request proto.Message) error {
	t.Helper()
	procedure := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	transport := &http.Transport{DisableKeepAlives: true}
	client := connect.NewClient[dynamicpb.Message, dynamicpb.Message](&http.Client{Transport: transport}, url+procedure,
		connect.WithSchema(m),
		connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
			if answer, ok := message.(*dynamicpb.Message); ok {
				*answer = *dynamicpb.NewMessage(m.Output())
			}
			return nil
		}))
	content, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	body := dynamicpb.NewMessage(m.Input())
	if err := proto.Unmarshal(content, body); err != nil {
		t.Fatal(err)
	}
	authorize := func(h http.Header) {
		if token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
	}
	switch {
	case m.IsStreamingClient():
		stream := client.CallClientStream(ctx)
		authorize(stream.RequestHeader())
		_ = stream.Send(body) // the answer says why it failed
		_, err = stream.CloseAndReceive()
	case m.IsStreamingServer():
		req := connect.NewRequest(body)
		authorize(req.Header())
		ctx, leave := context.WithCancel(ctx)
		defer leave()
		stream, streamErr := client.CallServerStream(ctx, req)
		if streamErr != nil {
			return streamErr
		}
		if !stream.Receive() {
			err = stream.Err()
		}
		leave()
		_ = stream.Close()
	default:
		req := connect.NewRequest(body)
		authorize(req.Header())
		_, err = client.CallUnary(ctx, req)
	}
	return err
}

// outcome is a call's code, reason and text, and its metadata: all that a
// caller can tell apart.
func outcome(err error) string {
	e, ok := meridian.AsError(err)
	if !ok {
		if err == nil {
			return "ok"
		}
		return "not an answer: " + err.Error()
	}
	text := e.Err.Code().String() + " " + e.Reason.String() + ": " + e.Err.Message()
	for _, name := range []string{"field", "rule", "log", "sequence"} {
		if value, ok := e.Meta[name]; ok {
			text += " " + name + "=" + value
		}
	}
	return text
}

var errNotConnect = errors.New("no answer of a service")

func code(err error) (connect.Code, error) {
	e, ok := meridian.AsError(err)
	if !ok {
		return 0, errors.Join(errNotConnect, err)
	}
	return e.Err.Code(), nil
}

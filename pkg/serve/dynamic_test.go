package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/meridian-iam/meridian/pkg/serve"
)

// mountEverything serves each procedure that start does not serve with an
// answer of nothing, made from its descriptor.
func mountEverything(s *serve.Server) {
	procedures(func(service protoreflect.ServiceDescriptor, method protoreflect.MethodDescriptor) {
		if mountedByStart(service) {
			return
		}
		options := append(s.HandlerOptions(), connect.WithSchema(method), connect.WithRequestInitializer(request))
		s.Mount(procedureOf(method), dynamicHandler(method, options))
	})
}

func mountedByStart(service protoreflect.ServiceDescriptor) bool {
	switch service.FullName() {
	case "meridian.identity.v1.OrganizationService", "meridian.authz.v1.RelationshipService", "meridian.log.v1.LogService":
		return true
	default:
		return false
	}
}

func dynamicHandler(method protoreflect.MethodDescriptor, options []connect.HandlerOption) *connect.Handler {
	if method.IsStreamingClient() || method.IsStreamingServer() {
		return connect.NewBidiStreamHandler(procedureOf(method),
			func(_ context.Context, s *connect.BidiStream[dynamicpb.Message, dynamicpb.Message]) error {
				_, err := s.Receive()
				return err
			}, options...)
	}
	return connect.NewUnaryHandlerSimple(procedureOf(method), func(context.Context, *dynamicpb.Message) (*dynamicpb.Message, error) {
		return dynamicpb.NewMessage(method.Output()), nil
	}, options...)
}

func procedureOf(method protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
}

// callDynamic calls a procedure with a request that has its first text field set.
func callDynamic(t *testing.T, s *server, token string, method protoreflect.MethodDescriptor) error {
	t.Helper()
	c := connect.NewClient[dynamicpb.Message, dynamicpb.Message](httpClient(t, token, true), s.url+procedureOf(method),
		connect.WithSchema(method), connect.WithResponseInitializer(response))
	message := dynamicpb.NewMessage(method.Input())
	for i := range method.Input().Fields().Len() {
		if field := method.Input().Fields().Get(i); field.Kind() == protoreflect.StringKind && !field.IsList() && field.ContainingOneof() == nil {
			message.Set(field, protoreflect.ValueOfString("text"))
			break
		}
	}
	if !method.IsStreamingClient() && !method.IsStreamingServer() {
		_, err := c.CallUnary(t.Context(), connect.NewRequest(message))
		return err
	}
	stream := c.CallBidiStream(t.Context())
	if err := stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_ = stream.CloseRequest()
	_, err := stream.Receive()
	_ = stream.CloseResponse()
	return err
}

func request(spec connect.Spec, message any) error { return become(spec, message, true) }

func response(spec connect.Spec, message any) error { return become(spec, message, false) }

// become gives a dynamic message its type; other messages have one.
func become(spec connect.Spec, message any, input bool) error {
	dynamic, ok := message.(*dynamicpb.Message)
	if !ok {
		return nil
	}
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return errors.New("no schema")
	}
	if input {
		*dynamic = *dynamicpb.NewMessage(method.Input())
	} else {
		*dynamic = *dynamicpb.NewMessage(method.Output())
	}
	return nil
}

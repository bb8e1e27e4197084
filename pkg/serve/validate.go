package serve

import (
	"context"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// validator holds requests against the rules in their schema. The first broken
// rule is the answer.
type validator struct {
	handlerOnly
	rules protovalidate.Validator
}

func newValidator() (*validator, error) {
	rules, err := protovalidate.New(protovalidate.WithFailFast())
	if err != nil {
		return nil, fmt.Errorf("request validator: %w", err)
	}
	return &validator{rules: rules}, nil
}

// WrapUnary implements connect.Interceptor.
func (v *validator) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := v.check(request.Any()); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (v *validator) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		return next(ctx, &received{stream, v.check})
	}
}

func (v *validator) check(message any) error {
	request, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("validate request: %T is not a protobuf message", message)
	}
	err := v.rules.Validate(request)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) || len(broken.Violations) == 0 {
		return fmt.Errorf("validate request: %w", err)
	}
	first := broken.Violations[0]
	return fault.Field(protovalidate.FieldPathString(first.Proto.GetField()), first.Proto.GetRuleId(), wordsFor(first))
}

package serve

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// accessLog writes one line for each call, and its metrics. No line holds
// anything of a message or a token.
type accessLog struct {
	handlerOnly
	log        *slog.Logger
	metrics    *metrics
	methods    *methods
	clock      func() time.Time
	errorsOnly bool
}

// outcome is what a line says.
type outcome struct {
	method  *method
	started time.Time
	// request and response are the messages of a call that is no stream. They
	// are measured only if there is a line.
	request, response any
	// in and out are bytes of a stream's messages, before compression.
	in, out int
	err     error
	// quiet outcomes get no line; omitted is how many had none before this one.
	quiet   bool
	omitted int
}

// WrapUnary implements connect.Interceptor.
func (a *accessLog) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		started := a.clock()
		response, err := next(ctx, request)
		o := outcome{method: a.methods.of(request.Spec()), started: started, err: err, request: request.Any()}
		if err == nil {
			o.response = response.Any()
		}
		a.record(ctx, o)
		return response, err
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (a *accessLog) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		o := outcome{method: a.methods.of(stream.Spec()), started: a.clock()}
		o.err = next(ctx, &counted{StreamingHandlerConn: stream, outcome: &o})
		a.record(ctx, o)
		return o.err
	}
}

// counted counts the bytes of a stream's messages. A stream is received from by
// one goroutine and sent to by one, each with a count of its own.
type counted struct {
	connect.StreamingHandlerConn
	outcome *outcome
}

// Receive implements connect.StreamingHandlerConn.
func (c *counted) Receive(message any) error {
	err := c.StreamingHandlerConn.Receive(message)
	if err == nil {
		c.outcome.in += size(message)
	}
	return err
}

// Send implements connect.StreamingHandlerConn.
func (c *counted) Send(message any) error {
	err := c.StreamingHandlerConn.Send(message)
	if err == nil {
		c.outcome.out += size(message)
	}
	return err
}

func (a *accessLog) record(ctx context.Context, o outcome) {
	took := a.clock().Sub(o.started)
	var code connect.Code
	name, reason, level := "ok", "", slog.LevelInfo
	if o.err != nil {
		code = connect.CodeOf(o.err)
		name, reason, level = code.String(), reasonOf(o.err), levelOf(code)
	}
	a.metrics.observe(o.method, code, reason, took.Seconds())
	if o.quiet || o.err == nil && a.errorsOnly || !a.log.Enabled(ctx, level) {
		return
	}
	caller, _ := principal.From(ctx)
	attributes := []slog.Attr{
		slog.String("procedure", o.method.procedure),
		slog.String("code", name),
		slog.String("reason", reason),
		slog.Int64("duration_us", took.Microseconds()),
		slog.String("principal", caller.ID),
		slog.String("organization", caller.Organization),
		slog.String("via", caller.Via),
		slog.String("on_behalf_of", caller.OnBehalfOf),
		slog.String("forwarded_from", caller.ForwardedFrom),
		slog.Int("request_bytes", o.in+size(o.request)),
		slog.Int("response_bytes", o.out+size(o.response)),
	}
	if caller.By != "" {
		attributes = append(attributes, slog.String("by", caller.By))
	}
	if o.omitted > 0 {
		attributes = append(attributes, slog.Int("omitted", o.omitted))
	}
	a.log.LogAttrs(ctx, level, "call", attributes...)
}

func reasonOf(err error) string {
	if f, ok := fault.As(err); ok {
		return f.Reason.String()
	}
	return commonv1.Reason_DEFECT.String()
}

func levelOf(code connect.Code) slog.Level {
	switch code {
	case connect.CodeInternal, connect.CodeUnknown:
		return slog.LevelError
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

func size(message any) int {
	m, ok := message.(proto.Message)
	if !ok {
		return 0
	}
	return proto.Size(m)
}

package serve

import (
	"slices"

	"connectrpc.com/connect"
)

// chain is a list of interceptors, the outermost first. It is one interceptor,
// so that connect adds nothing between them.
type chain []connect.Interceptor

// WrapUnary implements connect.Interceptor.
func (c chain) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	for _, v := range slices.Backward(c) {
		next = v.WrapUnary(next)
	}
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (c chain) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	for _, v := range slices.Backward(c) {
		next = v.WrapStreamingHandler(next)
	}
	return next
}

// WrapStreamingClient implements connect.Interceptor; servers have no clients.
func (chain) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// handlerOnly is embedded by interceptors of handlers.
type handlerOnly struct{}

// WrapStreamingClient implements connect.Interceptor.
func (handlerOnly) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// received is a stream whose messages pass a check before the handler sees them.
type received struct {
	connect.StreamingHandlerConn
	check func(message any) error
}

// Receive implements connect.StreamingHandlerConn.
func (r *received) Receive(message any) error {
	if err := r.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return r.check(message)
}

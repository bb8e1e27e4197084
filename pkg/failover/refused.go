package failover

import (
	"net/http"

	"connectrpc.com/connect"
)

// Refused returns a stream that never was: err is all that it says.
func Refused(spec connect.Spec, err error) connect.StreamingClientConn {
	return &refused{spec: spec, err: err, header: make(http.Header)}
}

type refused struct {
	spec   connect.Spec
	err    error
	header http.Header
}

// Spec implements connect.StreamingClientConn.
func (r *refused) Spec() connect.Spec { return r.spec }

// Peer implements connect.StreamingClientConn.
func (*refused) Peer() connect.Peer { return connect.Peer{} }

// Send implements connect.StreamingClientConn.
func (r *refused) Send(any) error { return r.err }

// RequestHeader implements connect.StreamingClientConn.
func (r *refused) RequestHeader() http.Header { return r.header }

// CloseRequest implements connect.StreamingClientConn.
func (*refused) CloseRequest() error { return nil }

// Receive implements connect.StreamingClientConn.
func (r *refused) Receive(any) error { return r.err }

// ResponseHeader implements connect.StreamingClientConn.
func (r *refused) ResponseHeader() http.Header { return r.header }

// ResponseTrailer implements connect.StreamingClientConn.
func (r *refused) ResponseTrailer() http.Header { return r.header }

// CloseResponse implements connect.StreamingClientConn.
func (*refused) CloseResponse() error { return nil }

// Package serve is the server of every Meridian service: Connect, gRPC and
// gRPC-Web on one port, one chain of interceptors, health, metrics, and an end
// that loses no accepted call.
//
// Every call passes, in this order:
//
//	admission   load, unknown procedures, time to send the body
//	gate        who calls (before the body is read)
//	recover     a panic is an answer
//	trace       OpenTelemetry span
//	access log  one line, metrics
//	fault       errors become Connect errors
//	keeper      is a stream used, and its token still valid
//	principal   may they
//	deadline    how long
//	rate limit  how often
//	validate    is the request well formed
//	delegate    may the user on whose behalf they call
package serve

package serve

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// shedRetry is what a client is told to wait when too many calls are running.
const shedRetry = 250 * time.Millisecond

// admission decides at the door, before connect sees a request, and gives each
// request the time it has on the wire.
type admission struct {
	config  Config
	metrics *metrics
	errors  *connect.ErrorWriter
	// Calls that run now: unary ones, streams, and those of strangers.
	running   atomic.Int64
	streams   atomic.Int64
	strangers atomic.Int64
	idlers    atomic.Int64
	crowd     *crowd
	// stopping has the STOPPING fault as its cause.
	stopping context.Context //nolint:containedctx // the life of the server, not of a call
}

// inProcess marks requests over the in-memory pipe. They belong to calls that
// were admitted already: refusing them would fail what is promised.
type inProcess struct{}

// Those who need no token get few places of their own, for a short time: nobody
// without a token can take a caller's place.
const (
	maxStrangers = 64
	maxIdlers    = 32 // streams of strangers
	strangerLife = 30 * time.Second
)

// admit wraps a mounted handler. kinds has the service's methods by path, true
// for streams; nil for what is no Connect service. refuse answers those who are
// not let in.
//
// Streams are counted apart: they may be idle for long, and must not take the
// places of calls that are over in a moment.
func (a *admission) admit(kinds map[string]bool, next http.Handler, refuse refusal) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream, known := kinds[r.URL.Path]
		count, most := &a.running, int64(a.config.MaxConcurrent)
		if stream {
			count, most = &a.streams, int64(a.config.MaxStreams)
		}
		defer count.Add(-1)
		inside := r.Context().Value(inProcess{}) != nil
		if running := count.Add(1); running > most && !inside {
			refuse(w, r, a.shed())
			return
		}
		v := &visit{crowd: a.crowd, inside: inside, stream: stream, request: r}
		defer v.leave()
		r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
		switch {
		case kinds != nil && !known:
			refuse(w, r, procedureUnknown())
		case stream:
			a.stream(w, r, next, a.config.StreamDeadline)
		default:
			a.unary(w, r, next)
		}
	})
}

// admitStranger wraps a service of the server's own that needs no token.
func (a *admission) admitStranger(kinds map[string]bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream, known := kinds[r.URL.Path]
		count, most := &a.strangers, int64(maxStrangers)
		if stream {
			count, most = &a.idlers, maxIdlers
		}
		defer count.Add(-1)
		switch running := count.Add(1); {
		case running > most:
			a.refuse(w, r, a.shed())
		case kinds != nil && !known:
			a.refuse(w, r, procedureUnknown())
		case stream || kinds == nil: // what is not known may be a stream
			a.stream(w, r, next, min(strangerLife, a.config.StreamDeadline))
		default:
			a.unary(w, r.WithContext(r.Context()), next)
		}
	})
}

// refusal answers a request that is refused.
type refusal func(w http.ResponseWriter, r *http.Request, f *fault.Fault)

// count is how many calls and streams run.
func (a *admission) count() float64 {
	return float64(a.running.Load() + a.streams.Load() + a.strangers.Load() + a.idlers.Load())
}

func (a *admission) shed() *fault.Fault {
	a.metrics.shed.Inc()
	return fault.New(fault.Unavailable, commonv1.Reason_RATE_LIMITED, "too many calls are running").Retry(shedRetry)
}

func stopping() *fault.Fault {
	return fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "the process is stopping").Retry(time.Second)
}

func procedureUnknown() *fault.Fault {
	return fault.New(fault.Unimplemented, commonv1.Reason_PROCEDURE_UNKNOWN, "there is no such procedure")
}

func (a *admission) refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	// The client is gone when this fails; there is nobody left to tell.
	_ = a.errors.Write(w, r, faultconnect.ToConnect(f))
}

// unknown answers paths that nothing is mounted on: 404, and unimplemented for
// what has the form of a call, /package.Service/Procedure.
func (a *admission) unknown(w http.ResponseWriter, r *http.Request) {
	service, procedure, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	rpc := ok && strings.Contains(service, ".") && procedure != "" && !strings.Contains(procedure, "/")
	if rpc && r.Method == http.MethodPost && a.errors.IsSupported(r) {
		a.refuse(w, r, procedureUnknown())
		return
	}
	http.NotFound(w, r)
}

// unary gives the body its time, and then the answer, so that a client that does
// not read cannot hold a call for ever. r is a copy: net/http looks at its own
// request's body to learn whether the connection can be used again.
func (a *admission) unary(w http.ResponseWriter, r *http.Request, next http.Handler) {
	on := &exchange{wire: wire{control: http.NewResponseController(w)}, ReadCloser: r.Body, answer: a.config.MaxDeadline}
	on.begin(r.ContentLength != 0, a.config.BodyTimeout)
	defer on.end()
	r.Body = on
	next.ServeHTTP(w, r)
}

// exchange is a unary request, which is its own body, and its answer. One timer
// serves both: most calls are over long before it.
type exchange struct {
	wire
	io.ReadCloser // the body
	answer        time.Duration
	reading       bool // under wire.mu
	timer         *time.Timer
}

func (e *exchange) begin(body bool, within time.Duration) {
	e.mu.Lock() // the timer's function waits until the timer is known
	defer e.mu.Unlock()
	if !body {
		within = e.answer
	}
	e.reading, e.timer = body, time.AfterFunc(within, e.expire)
}

// Read implements io.Reader.
func (e *exchange) Read(into []byte) (int, error) {
	n, err := e.ReadCloser.Read(into)
	if err != nil {
		e.read()
	}
	return n, err //nolint:wrapcheck // a reader passes on what it wraps
}

// read begins the answer's time. It says whether that is new.
func (e *exchange) read() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.reading {
		return false
	}
	e.reading = false
	e.timer.Reset(e.answer)
	return true
}

func (e *exchange) expire() {
	if e.read() {
		e.endRead()
		return
	}
	e.endWrite()
}

func (e *exchange) end() {
	e.close()
	e.timer.Stop()
}

// stream bounds a stream's life, and ends it when the process stops: its context gets
// the STOPPING cause, and a handler that waits for a message is woken.
func (a *admission) stream(w http.ResponseWriter, r *http.Request, next http.Handler, life time.Duration) {
	on := &wire{control: http.NewResponseController(w)}
	defer on.close()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	end := func(cause error) {
		cancel(cause)
		on.endRead()
	}
	if v := visitOf(ctx); v != nil {
		v.end = end
		v.cut = func(cause error) {
			end(cause)
			on.endWrite()
		}
	}
	reading := time.AfterFunc(life, func() {
		end(fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the stream's time is over; open another"))
	})
	defer reading.Stop()
	writing := time.AfterFunc(life+a.config.BodyTimeout, on.endWrite)
	defer writing.Stop()
	stop := context.AfterFunc(a.stopping, func() { end(context.Cause(a.stopping)) })
	defer stop()
	next.ServeHTTP(w, r.WithContext(ctx))
}

// wire ends a request's reads and writes from other goroutines, and never after
// the handler has returned, when net/http has taken the connection back.
type wire struct {
	mu      sync.Mutex
	closed  bool
	control *http.ResponseController
}

// endRead wakes whoever waits for the client's next byte. Not every transport
// has deadlines (a test's recorder): it does without.
func (w *wire) endRead() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		_ = w.control.SetReadDeadline(time.Now())
	}
}

// endWrite wakes whoever waits for the client to read.
func (w *wire) endWrite() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		_ = w.control.SetWriteDeadline(time.Now())
	}
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// kindsOf returns the methods of the service at a mount path such as
// /meridian.authz.v1.CheckService/, or nil when there is no such service.
func kindsOf(path string) map[string]bool {
	name := strings.Trim(path, "/")
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	service, ok := descriptor.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	kinds := make(map[string]bool, service.Methods().Len())
	for i := range service.Methods().Len() {
		of := service.Methods().Get(i)
		kinds["/"+name+"/"+string(of.Name())] = of.IsStreamingClient() || of.IsStreamingServer()
	}
	return kinds
}

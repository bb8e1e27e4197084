package serve

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// Plain is a request over plain HTTP that is a call all the same: the caller is
// known and may, budgets and deadlines hold, a panic is an answer, and the
// access log has its line.
type Plain struct {
	// Procedure names it in logs, metrics and traces, as /authzen.v1/Evaluation:
	// never an id.
	Procedure string
	// Audience is the service that tokens of services must be meant for, and that the
	// scopes of a token must have.
	Audience string
	// Scope is the procedure that the scopes of a token must have instead, as
	// /meridian.authz.v1.CheckService/Check; empty: all of Audience.
	Scope string
	// Access is what the caller needs on the organization that a request names.
	// Nil: everybody may, without a token; such a handler reads nothing that is
	// worth protecting.
	Access *commonv1.Access
	// Organization is the one that a request names. The caller is in its context.
	Organization func(r *http.Request) string
	// Answer answers. Its error is what Refuse writes, unless an answer was begun.
	Answer func(w http.ResponseWriter, r *http.Request) error
	// Refuse writes an error. An internal fault comes without its text.
	Refuse func(w http.ResponseWriter, r *http.Request, f *fault.Fault)
}

// Plain makes a handler to Mount.
func (s *Server) Plain(p Plain) http.Handler {
	return &plainHandler{
		Plain: p, server: s,
		method: &method{procedure: p.Procedure, service: p.Audience, access: p.Access, budget: budgetOf(connect.IdempotencyUnknown, p.Access)},
	}
}

type plainHandler struct {
	Plain

	server *Server
	method *method
}

func (h *plainHandler) scope() string {
	if h.Scope != "" {
		return h.Scope
	}
	return h.Audience
}

// ServeHTTP implements http.Handler.
func (h *plainHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.server
	if s.broken != nil {
		h.Refuse(w, r, stopping()) // Listen refuses to start
		return
	}
	o := outcome{method: h.method, started: s.clock(), in: max(0, int(r.ContentLength))}
	ctx := r.Context()
	if h.Access != nil {
		caller, err := h.enter(ctx, r.Header)
		if err != nil {
			f := s.gate.refused(ctx, o, caller, err)
			if challenge := s.gate.resource.challenge(r.Host, r.Header, f); challenge != "" {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			h.Refuse(w, r, sendable(f))
			return
		}
		ctx = principal.With(ctx, caller)
	}
	ctx, span := s.tracer.begin(ctx, h.Procedure, r.Header)
	defer span.End()
	ctx, cancel := context.WithTimeout(ctx, s.config.Deadline)
	defer cancel()
	written := &tally{ResponseWriter: w}
	if f := h.answer(ctx, written, r); f != nil {
		o.err = faultconnect.ToConnect(f)
		if !written.begun {
			h.Refuse(written, r, sendable(f))
		}
	}
	o.out = written.bytes
	describe(span, o.err)
	s.access.record(ctx, o)
}

func (h *plainHandler) enter(ctx context.Context, header http.Header) (caller principal.Principal, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked(ctx, h.server.log, h.Procedure, value)
		}
	}()
	return h.server.gate.enter(ctx, header, h.Audience)
}

// answer authorizes, counts and answers. It logs defects.
func (h *plainHandler) answer(ctx context.Context, w *tally, r *http.Request) (f *fault.Fault) {
	s := h.server
	defer func() {
		if value := recover(); value != nil {
			f = panicked(ctx, s.log, h.Procedure, value)
		}
	}()
	settler := &settler{log: s.log}
	r = r.WithContext(ctx)
	if h.Access != nil {
		caller, _ := principal.From(ctx)
		organization := h.Organization(r)
		if err := principal.Authorize(caller, h.scope(), h.Access, organization); err != nil {
			return settler.fault(ctx, h.Procedure, err)
		}
		if err := s.limiter.take(ctx, h.method, organization, w.Header); err != nil {
			return settler.fault(ctx, h.Procedure, err)
		}
		if err := principal.AuthorizeSubject(ctx, caller, h.Access, organization, s.delegate.delegation); err != nil {
			return settler.fault(ctx, h.Procedure, err)
		}
	}
	if err := h.Answer(w, r); err != nil {
		return settler.fault(ctx, h.Procedure, err)
	}
	return nil
}

// sendable is a fault as a client may read it.
func sendable(f *fault.Fault) *fault.Fault {
	if f.Kind != fault.Internal && f.Kind != 0 {
		return f
	}
	out := fault.New(fault.Internal, commonv1.Reason_DEFECT, "internal error")
	if trace, ok := f.Meta["trace"]; ok {
		out = out.With("trace", trace)
	}
	return out
}

// tally counts what is written.
type tally struct {
	http.ResponseWriter
	begun bool
	bytes int
}

// WriteHeader implements http.ResponseWriter.
func (t *tally) WriteHeader(status int) {
	t.begun = true
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *tally) Write(b []byte) (int, error) {
	t.begun = true
	n, err := t.ResponseWriter.Write(b)
	t.bytes += n
	return n, err //nolint:wrapcheck // a writer passes on what it wraps
}

// Unwrap is for http.ResponseController.
func (t *tally) Unwrap() http.ResponseWriter { return t.ResponseWriter }

package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/telemetry"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// compressor trades some size for much time: a list of names shrinks to a third
// instead of a fourth, at a tenth of the cost of gzip's default level.
func compressor() connect.Compressor {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // it fails for unknown levels only
	return w
}

func decompressor() connect.Decompressor { return new(gzip.Reader) }

// compressMin is the size in bytes from which messages are compressed. connect
// compresses the smallest by default, which doubles the cost of a call.
const compressMin = 1024

// AccessTokens says what access tokens of the provider say. It answers from memory.
type AccessTokens interface {
	// Verify returns what a token says that is good now.
	//
	// Errors: TOKEN_REJECTED, with accesstoken.ErrOver behind it for a token that was good
	// once or is good elsewhere. Anything else means that it could not be found out.
	Verify(token secret.String) (accesstoken.Claims, error)
}

// Options are what a server is made of.
type Options struct {
	Config Config
	// Verifier knows API tokens; nil: no API token can be verified.
	Verifier principal.Verifier
	// ServiceKey knows the tokens of services; nil: none is accepted.
	ServiceKey *principal.ServiceKey
	// AccessTokens knows access tokens of the provider; nil: none is accepted.
	AccessTokens AccessTokens
	// Delegation says what the users may do on whose behalf products call, and who calls
	// with an access token; nil: such calls are refused.
	Delegation principal.Delegation
	// Resource is what clients may know of this server that have no access token yet;
	// nil, or without issuers: nothing.
	Resource *Resource
	// CertificateHosts are those whose callers are asked for certificates, where the
	// configuration says that clients are; none: all hosts.
	CertificateHosts []string
	// Log; nil means Telemetry's.
	Log *slog.Logger
	// Telemetry; nil means none is kept.
	Telemetry *telemetry.Telemetry
	// Clock; nil means time.Now.
	Clock func() time.Time
}

// Server serves Connect, gRPC and gRPC-Web on one port. Mount everything, then
// Run it once.
type Server struct {
	config    Config
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	clock     func() time.Time

	gate      *gate
	access    *accessLog
	tracer    *tracer
	limiter   *limiter
	anonymous *Addresses
	rules     *validator
	delegate  *delegate
	chain     chain
	admission *admission
	health    *health
	mux       *http.ServeMux
	pipe      *pipe
	stop      context.CancelCauseFunc
	broken    error    // of New, returned by Listen
	asking    []string // hosts whose callers are asked for certificates; none: all

	listener, admin net.Listener
}

// New makes a server that does not listen yet. What is wrong with the options
// is what Listen and Run return.
func New(o Options) *Server {
	s := &Server{config: o.Config.withDefaults(), log: o.Log, telemetry: o.Telemetry, clock: o.Clock, mux: http.NewServeMux(), pipe: newPipe(), asking: o.CertificateHosts}
	if s.telemetry == nil {
		s.telemetry = telemetry.Discard()
	}
	if s.log == nil {
		s.log = s.telemetry.Log
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	stopping, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	s.health = &health{log: s.log, clock: s.clock, stopping: stopping, services: make(map[string]bool)}
	s.admission = &admission{config: s.config, errors: connect.NewErrorWriter(), stopping: stopping}
	s.admission.metrics = newMetrics(s.admission.count)
	s.admission.crowd = newCrowd(s.config)
	s.admission.crowd.metrics = s.admission.metrics
	s.broken = s.assemble(o)
	s.mountOwn()
	return s
}

// assemble makes the interceptors, in their one order.
func (s *Server) assemble(o Options) error {
	if err := s.config.valid(); err != nil {
		return err
	}
	known := new(methods)
	s.access = &accessLog{
		log: s.log, metrics: s.admission.metrics, methods: known, clock: s.clock,
		errorsOnly: s.config.AccessLog == "errors",
	}
	s.gate = &gate{
		verifier: o.Verifier, tokens: o.AccessTokens, key: o.ServiceKey, methods: known, access: s.access, clock: s.clock,
		guesses: &guesses{newBuckets(s.config.Limits.Guess, s.clock)}, sampler: &sampler{clock: s.clock},
		maxBytes: int64(s.config.MaxMessageBytes), resource: newResource(o.Resource, s.asks),
		seen: dpop.NewSeen(0),
	}
	var err error
	if s.tracer, err = newTracer(s.telemetry); err != nil {
		return err
	}
	s.limiter = newLimiter(known, s.config.Limits, s.clock)
	s.anonymous = NewAddresses(s.config.Limits.Anonymous, s.clock)
	s.delegate = &delegate{methods: known, delegation: o.Delegation}
	if s.rules, err = newValidator(); err != nil {
		return err
	}
	s.chain = chain{
		&recoverer{log: s.log},
		s.tracer,
		s.access,
		&settler{log: s.log},
		&keeper{idle: s.config.StreamIdle, clock: s.clock},
		&authorizer{methods: known, gate: s.gate},
		&deadliner{unary: s.config.Deadline, maxUnary: s.config.MaxDeadline, stream: s.config.StreamDeadline},
		s.limiter,
		s.rules,
		s.delegate,
	}
	return s.admission.metrics.register(s.telemetry.Registry)
}

// HandlerOptions are for every generated handler that is mounted: the gate, the
// interceptors, the codecs and the limits.
func (s *Server) HandlerOptions() []connect.HandlerOption {
	options := s.plainOptions()
	if s.broken != nil {
		return options // Listen refuses to start
	}
	return append(options,
		connect.WithRequestGate(s.gate.admit),
		connect.WithInterceptors(s.chain),
		connect.WithCodec(binaryCodec{}),
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
	)
}

// plainOptions are for health and reflection, which need no token.
func (s *Server) plainOptions() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCompressMinBytes(compressMin),
		connect.WithCompression("gzip", decompressor, compressor),
		connect.WithReadMaxBytes(s.config.MaxMessageBytes),
	}
}

// Anonymous counts a request that nobody answers for, and of which something is kept.
//
// Errors: RATE_LIMITED.
func (s *Server) Anonymous(r *http.Request) error {
	if s.anonymous == nil {
		return nil // Listen refuses to start
	}
	return s.anonymous.Take(r)
}

// Mount serves a handler at a path as generated constructors return it:
//
//	path, handler := identityv1connect.NewOrganizationServiceHandler(h, s.HandlerOptions()...)
//	s.Mount(path, handler)
//
// A path that names no protobuf service is served as it is, with the same
// limits on places and time. Plain makes handlers for it that keep the other
// rules of calls too; any other handler calls Authenticate by itself.
func (s *Server) Mount(path string, handler http.Handler) {
	kinds := kindsOf(path)
	if kinds != nil {
		s.health.serves(strings.Trim(path, "/"))
	}
	refuse := s.admission.refuse
	if p, ok := handler.(*plainHandler); ok {
		refuse = p.Refuse
	}
	s.mux.Handle(path, s.admission.admit(kinds, handler, refuse))
}

// Ready adds a condition of being ready. check runs every second with a
// deadline of one second; one that hangs makes the server unready and delays
// nothing. Call it before Run.
func (s *Server) Ready(name string, check func(ctx context.Context) error) { s.health.add(name, check) }

// Client calls this server without a network, through the same interceptors.
// Calls wait, within their deadline, until Run has begun. Calls that are
// running when the server stops can still make such calls.
func (s *Server) Client() connect.HTTPClient { return s.pipe.client }

// Authenticate says who sends a request, for handlers that are not Connect. A
// service's token must be meant for audience.
//
// Errors: TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_REJECTED, PROOF_REJECTED, RATE_LIMITED,
// and unavailable.
func (s *Server) Authenticate(ctx context.Context, header http.Header, audience string) (principal.Principal, error) {
	if s.broken != nil {
		return principal.Principal{}, s.broken
	}
	caller, err := s.gate.enter(ctx, header, audience)
	if err == nil && caller.Subject() != "" {
		err = fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "nobody may call this with an access token")
	}
	if err != nil {
		return principal.Principal{}, unauthenticated(ctx, err)
	}
	return caller, nil
}

// Validate holds a request against the rules of its schema, as it is done with those
// that come as calls: for handlers that make one of what came otherwise.
//
// Errors: INVALID_FIELD.
func (s *Server) Validate(request proto.Message) error {
	if s.broken != nil {
		return s.broken
	}
	return s.rules.check(request)
}

func (s *Server) mountOwn() {
	s.mux.HandleFunc("/", s.admission.unknown)
	s.mux.HandleFunc("GET /livez", s.health.livez)
	s.mux.HandleFunc("GET /readyz", s.health.readyz)
	if s.config.Admin == "" {
		s.mux.Handle("GET /metrics", metricsHandler(s.telemetry.Registry))
	}
	if s.broken == nil && s.gate.resource != nil {
		s.gate.resource.mount(s)
	}
	path, handler := grpchealth.NewHandler(s.health, s.plainOptions()...)
	s.mux.Handle(path, s.admission.admitStranger(kindsOf(path), handler))
	if s.config.NoReflection {
		return
	}
	reflector := grpcreflect.NewReflector(grpcreflect.NamerFunc(s.health.names))
	path, handler = grpcreflect.NewHandlerV1(reflector, s.plainOptions()...)
	s.mux.Handle(path, s.admission.admitStranger(kindsOf(path), handler))
	path, handler = grpcreflect.NewHandlerV1Alpha(reflector, s.plainOptions()...)
	s.mux.Handle(path, s.admission.admitStranger(kindsOf(path), handler))
}

func (c Config) valid() error {
	if c.AccessLog != "all" && c.AccessLog != "errors" {
		return fmt.Errorf("access_log: want all or errors, have %q", c.AccessLog)
	}
	for name, d := range map[string]time.Duration{
		"header_timeout": c.HeaderTimeout, "body_timeout": c.BodyTimeout, "idle_timeout": c.IdleTimeout,
		"deadline": c.Deadline, "max_deadline": c.MaxDeadline, "stream_deadline": c.StreamDeadline, "stop_timeout": c.StopTimeout,
		"stream_idle": c.StreamIdle,
	} {
		if d < 0 {
			return fmt.Errorf("%s: must not be negative", name)
		}
	}
	for name, n := range map[string]int{
		"max_header_bytes": c.MaxHeaderBytes, "max_message_bytes": c.MaxMessageBytes,
		"max_connections": c.MaxConnections, "max_connections_per_address": c.MaxConnectionsPerAddress,
		"max_concurrent": c.MaxConcurrent, "max_streams": c.MaxStreams,
	} {
		if n < 0 {
			return fmt.Errorf("%s: must not be negative", name)
		}
	}
	return nil
}

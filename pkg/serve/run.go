package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// Listen opens the sockets, and returns the address of the main one. Run does
// it when it was not done before; clients that connect meanwhile wait.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	if s.broken != nil {
		return nil, fmt.Errorf("serve: %w", s.broken)
	}
	if s.listener != nil {
		return s.listener.Addr(), nil
	}
	var secured *tls.Config
	if s.config.TLS != (TLS{}) {
		loaded, err := loadCertificate(s.config.TLS, s.log, s.clock)
		if err != nil {
			return nil, fmt.Errorf("serve: %w", err)
		}
		secured = loaded.config(s.asking)
		secured.NextProtos = []string{"h2", "http/1.1"}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve: listen: %w", err)
	}
	if s.config.Admin != "" {
		if s.admin, err = lc.Listen(ctx, "tcp", s.config.Admin); err != nil {
			return nil, errors.Join(fmt.Errorf("serve: listen admin: %w", err), listener.Close())
		}
	}
	s.listener = newDoor(listener, s.config, s.admission.metrics.closed)
	if secured != nil {
		s.listener = tls.NewListener(s.listener, secured)
	}
	return s.listener.Addr(), nil
}

// AdminAddr is the address of the admin listener after Listen, or nil.
func (s *Server) AdminAddr() net.Addr {
	if s.admin == nil {
		return nil
	}
	return s.admin.Addr()
}

// Run serves until ctx ends. Then it says that it is not ready, takes no new
// call, ends streams with the cause STOPPING, lets the calls that it took finish
// within StopTimeout, and returns nil. An error means that it could not serve.
func (s *Server) Run(ctx context.Context) error {
	if _, err := s.Listen(ctx); err != nil {
		return err
	}
	checks, endChecks := context.WithCancel(context.WithoutCancel(ctx))
	defer endChecks()
	s.health.start(checks)

	main := s.httpServer(arrivals(s.mux))
	main.ConnContext = greet
	inside := s.httpServer(s.mux)
	inside.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), inProcess{}, true)
	}
	servers := []*http.Server{main, inside}
	group, failed := errgroup.WithContext(ctx)
	group.Go(func() error { return serveOn(main, s.listener) })
	group.Go(func() error { return serveOn(inside, s.pipe) })
	if s.admin != nil {
		admin := s.httpServer(s.adminMux())
		servers = append(servers, admin)
		group.Go(func() error { return serveOn(admin, s.admin) })
	}
	s.log.InfoContext(ctx, "serving", slog.String("address", s.listener.Addr().String()))
	<-failed.Done()
	s.shutdown(servers)
	return group.Wait()
}

func serveOn(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// shutdown ends the servers one after the other: calls from outside first, then
// the pipe on which they may still call, then the admin listener.
func (s *Server) shutdown(servers []*http.Server) {
	s.stop(stopping())
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StopTimeout)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			s.log.Warn("calls were cut off", slog.Any("error", err))
			_ = server.Close()
		}
	}
	s.pipe.client.CloseIdleConnections()
	s.log.Info("stopped")
}

func (s *Server) httpServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: s.config.HeaderTimeout,
		IdleTimeout:       s.config.IdleTimeout,
		MaxHeaderBytes:    s.config.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: min(s.config.MaxConcurrent, 1024),
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
	}
}

func (s *Server) adminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.health.livez)
	mux.HandleFunc("GET /readyz", s.health.readyz)
	mux.Handle("GET /metrics", metricsHandler(s.telemetry.Registry))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func metricsHandler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 5 * time.Second})
}

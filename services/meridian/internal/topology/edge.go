package topology

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// edge is a region's front door: it passes calls on to the service that has
// them, as a load balancer of the region would.
type edge struct {
	address string
	handler http.Handler

	mu     sync.Mutex
	server *http.Server
}

// identityPath says whether a path is of the process that has identity, sessions and
// audit; all others are of the authz service.
func identityPath(path string) bool {
	return strings.HasPrefix(path, "/meridian.identity.") || strings.HasPrefix(path, "/meridian.sessions.") || strings.HasPrefix(path, "/meridian.audit.")
}

func newEdge(address, identity, authz string) *edge {
	// A transport of its own: its connections end with the services'.
	transport := &http.Transport{
		MaxIdleConnsPerHost: 256,
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
	}
	to := func(host string) *httputil.ReverseProxy {
		target := &url.URL{Scheme: "http", Host: host}
		return &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
			Transport:     transport,
			FlushInterval: -1, // streams
			ErrorLog:      log.New(io.Discard, "", 0),
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				w.WriteHeader(http.StatusServiceUnavailable)
			},
		}
	}
	toIdentity, toAuthz := to(identity), to(authz)
	return &edge{address: address, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if identityPath(r.URL.Path) {
			toIdentity.ServeHTTP(w, r)
			return
		}
		toAuthz.ServeHTTP(w, r)
	})}
}

// open begins to listen.
func (e *edge) open() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", e.address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: e.handler, ReadHeaderTimeout: 5 * time.Second}
	e.server = server
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.close()
		}
	}()
	return nil
}

// close cuts all connections and refuses new ones.
func (e *edge) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		_ = e.server.Close() // a listener that is closed already
		e.server = nil
	}
}

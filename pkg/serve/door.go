package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// door takes connections, so many in all and so many from one address. Those
// beyond are closed at once: a connection that waits in a queue looks like a
// server that hangs.
type door struct {
	net.Listener
	most, each int
	// patience is how long a connection may be open without a first request.
	patience time.Duration
	refused  prometheus.Counter

	mu     sync.Mutex
	open   int
	byAddr map[string]int
}

func newDoor(listener net.Listener, c Config, refused prometheus.Counter) *door {
	return &door{
		Listener: listener, most: c.MaxConnections, each: c.MaxConnectionsPerAddress,
		patience: c.HeaderTimeout, refused: refused, byAddr: make(map[string]int),
	}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
		address := addressOf(conn.RemoteAddr().String())
		if !d.enter(address) {
			d.refused.Inc()
			_ = conn.Close()
			continue
		}
		guest := &guest{Conn: conn, leave: sync.OnceFunc(func() { d.leave(address) })}
		// HTTP/1.1 has a time for headers of its own; HTTP/2 has none for the
		// first stream.
		guest.waiting = time.AfterFunc(d.patience, func() { _ = conn.Close() }) // who serves it notices
		return guest, nil
	}
}

func (d *door) enter(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.most || d.byAddr[address] >= d.each {
		return false
	}
	d.open++
	d.byAddr[address]++
	return true
}

func (d *door) leave(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.byAddr[address]--; d.byAddr[address] == 0 {
		delete(d.byAddr, address)
	}
}

// guest is a connection that was let in.
type guest struct {
	net.Conn
	waiting *time.Timer
	leave   func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.waiting.Stop()
	g.leave()
	return g.Conn.Close()
}

type guestKey struct{}

// greet is http.Server.ConnContext: requests find the connection that they are on.
func greet(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if g, ok := conn.(*guest); ok {
		return context.WithValue(ctx, guestKey{}, g)
	}
	return ctx
}

// arrivals tells a connection that a request arrived on it.
func arrivals(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
			g.waiting.Stop()
		}
		next.ServeHTTP(w, r)
	})
}

// addressOf is who a remote host:port stands for in limits: an IPv4 address, or
// the /64 network of an IPv6 one, of which one host has all.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	address := at.Addr().Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return network.String()
}

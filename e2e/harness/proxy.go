package harness

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

var errNotReady = errors.New("not ready")

// Proxy listens on one address of this machine and passes connections on to
// others: as a load balancer does, and as a fixed address of a server that
// changes its port.
type Proxy struct {
	// Address is host:port.
	Address string

	listener net.Listener
	next     atomic.Uint64

	mu      sync.Mutex
	targets []string
	open    map[net.Conn]bool
}

// StartProxy starts a proxy. Connections go to the targets in turn; one that
// accepts no connection is passed over.
func StartProxy(t testing.TB, targets ...string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Cleanup ends it
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Address: listener.Addr().String(), listener: listener, targets: targets, open: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		running.Wait()
	})
	return p
}

// Point changes the targets of new connections.
func (p *Proxy) Point(targets ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = targets
}

func (p *Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *Proxy) keep(conn net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[conn] = true
	} else {
		delete(p.open, conn)
		_ = conn.Close()
	}
}

func (p *Proxy) serve(conn net.Conn) {
	p.keep(conn, true)
	defer p.keep(conn, false)
	p.mu.Lock()
	targets := p.targets
	p.mu.Unlock()
	first := int(p.next.Add(1))
	for i := range targets {
		upstream, err := net.Dial("tcp", targets[(first+i)%len(targets)]) //nolint:noctx // of this machine
		if err == nil {
			p.join(conn, upstream)
			return
		}
	}
}

// join passes on bytes and half-closes, both ways, until both ways have ended.
func (p *Proxy) join(a, b net.Conn) {
	p.keep(b, true)
	defer p.keep(b, false)
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if err != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { pass(a, b) })
	both.Go(func() { pass(b, a) })
	both.Wait()
}

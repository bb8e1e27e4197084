package topology

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// Ports of the topology are below those that the system gives to outgoing
// connections: a process that is started again finds its own free.
const (
	firstPort = 18_000
	lastPort  = 32_000
)

// ports gives out addresses of this machine that nobody listens on.
type ports struct{ next int }

func newPorts() *ports { return &ports{next: firstPort + rand.IntN((lastPort-firstPort)/2)} }

// fill gives each an address.
func (p *ports) fill(addresses ...*string) (err error) {
	for _, a := range addresses {
		if *a, err = p.take(); err != nil {
			return err
		}
	}
	return nil
}

func (p *ports) take() (string, error) {
	for ; p.next < lastPort; p.next++ {
		address := fmt.Sprintf("127.0.0.1:%d", p.next)
		listener, err := net.Listen("tcp", address) //nolint:noctx // closed at once
		if err != nil {
			continue
		}
		p.next++
		return address, listener.Close()
	}
	return "", errors.New("no free port")
}

// patience is how long a part may take to answer after its start.
const patience = 60 * time.Second

// reachable waits until somebody accepts connections at an address. A value in
// ended, or its end, means that nobody will.
func reachable[T any](address string, ended <-chan T) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second) //nolint:noctx // bounded
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("it ended before it listened on %s", address)
		case <-deadline.C:
			return fmt.Errorf("it does not listen on %s: %w", address, err)
		case <-again.C:
		}
	}
}

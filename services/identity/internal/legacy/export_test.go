package legacy

import (
	"context"
	"net"
)

// ReadAnswer is for its fuzz test.
var ReadAnswer = readAnswer

// DialBy makes connections some other way: over pipes, where time is the test's.
func (c *Checker) DialBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.client.Transport.(bySecurity).plain.DialContext = dial
}

// CloseIdle ends connections that wait for the next call.
func (c *Checker) CloseIdle() { c.client.CloseIdleConnections() }

// Sign is for its vector.
var Sign = sign

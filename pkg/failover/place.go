package failover

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// place is a stream in one region. It tells the region how it did, once.
type place struct {
	connect.StreamingClientConn

	// settle gives the verdict; after the first time it does nothing.
	settle func(error)
	// given turns the error of a stream that was given up into what it means.
	given func(error) error
	// end frees what the stream holds.
	end func()
}

func (c *call) open(ctx context.Context, t target, next connect.StreamingClientFunc, spec connect.Spec) *place {
	ctx, cancel := context.WithCancelCause(ctx)
	unlimit := func() bool { return true }
	if limit, named := ctx.Value(firstWithinKey{}).(time.Duration); named {
		unlimit = time.AfterFunc(limit, func() { cancel(errSlow) }).Stop
	}
	p := &place{given: func(err error) error { return given(ctx, err) }}
	var once sync.Once
	p.settle = func(err error) {
		once.Do(func() {
			unlimit()
			t.verdict(err)
		})
	}
	// A stream of which nobody reads says nothing of its region, unless it was
	// too slow.
	unwatch := context.AfterFunc(ctx, func() { p.settle(given(ctx, errNoVerdict)) })
	p.end = func() {
		unwatch()
		p.settle(errNoVerdict)
		cancel(nil)
	}
	p.StreamingClientConn = next(way{url: t.url}.in(ctx), spec)
	return p
}

// Send implements connect.StreamingClientConn.
func (p *place) Send(message any) error {
	err := p.StreamingClientConn.Send(message)
	if err == nil || errors.Is(err, io.EOF) {
		return err // of an error Receive tells
	}
	err = p.given(err)
	p.settle(err)
	return err
}

// Receive implements connect.StreamingClientConn.
func (p *place) Receive(message any) error {
	err := p.StreamingClientConn.Receive(message)
	if errors.Is(err, io.EOF) {
		p.settle(nil)
		return err
	}
	err = p.given(err)
	p.settle(err)
	return err
}

// CloseResponse implements connect.StreamingClientConn.
func (p *place) CloseResponse() error {
	defer p.end()
	return p.StreamingClientConn.CloseResponse()
}

// leave ends a stream that brought nothing.
func (p *place) leave() {
	p.end()
	_ = p.StreamingClientConn.CloseResponse() // its error was read
}

package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// wire sends HTTP/1.1 requests from the caller's own goroutine, one at a time
// on a connection. [http.Transport] passes each request and answer between
// three goroutines, which on a machine that also runs the server takes
// processor time away from what is measured. Answers are read whole, so it is
// for unary calls.
type wire struct {
	dialer net.Dialer
	idle   chan *wireConn
}

type wireConn struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
}

// newWire keeps as many connections open as there are calls at the same time.
func newWire(connections int) *wire { return &wire{idle: make(chan *wireConn, max(connections, 1))} }

// RoundTrip implements [http.RoundTripper]. A connection is used again only
// after an answer that was read to its end.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := w.get(r.Context(), r.URL.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(r.Context(), func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	answer, err := c.exchange(r)
	// When the context ended in between, the deadline stays: so no more of it.
	if !stop() || err != nil || answer.Close {
		err = errors.Join(err, c.Close())
		if err != nil && r.Context().Err() != nil {
			err = r.Context().Err()
		}
		return answer, err
	}
	w.put(c)
	return answer, nil
}

func (w *wire) get(ctx context.Context, host string) (*wireConn, error) {
	select {
	case c := <-w.idle:
		return c, nil
	default:
	}
	c, err := w.dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	return &wireConn{Conn: c, in: bufio.NewReaderSize(c, 16<<10), out: bufio.NewWriterSize(c, 16<<10)}, nil
}

func (w *wire) put(c *wireConn) {
	select {
	case w.idle <- c:
	default:
		_ = c.Close() // more than the workers need
	}
}

func (w *wire) close() {
	for {
		select {
		case c := <-w.idle:
			_ = c.Close() // idle
		default:
			return
		}
	}
}

func (c *wireConn) exchange(r *http.Request) (*http.Response, error) {
	err := r.Write(c.out)
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	answer, err := http.ReadResponse(c.in, r)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// Command echo answers checks without deciding anything: what a call over the
// same transport costs when there is no service behind it. It prints its
// address and ends on an interrupt.
//
//	go run ./e2e/load/cmd/echo
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"connectrpc.com/connect"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// run serves on a free port of this machine until ctx ends.
func run(ctx context.Context, stdout io.Writer) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := newServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(stdout, "http://"+listener.Addr().String()); err != nil {
		return errors.Join(fmt.Errorf("print address: %w", err), server.Close())
	}
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	}
}

func newServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle(authzv1connect.NewCheckServiceHandler(nothing{}, connect.WithCompressMinBytes(1024)))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
}

// nothing answers every check with a deny.
type nothing struct {
	authzv1connect.UnimplementedCheckServiceHandler
}

// Check implements [authzv1connect.CheckServiceHandler].
func (nothing) Check(context.Context, *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	return &authzv1.CheckResponse{
		Decision: authzv1.Decision_DECISION_DENY, Model: "mdl_00000000000000000000000000000000",
	}, nil
}

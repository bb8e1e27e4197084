package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/spf13/cobra"
)

// natsReady bounds the start of a server, which reads its streams.
const natsReady = 30 * time.Second

// withParent gives a command the flag with which it ends when its standard
// input does: a pipe that ends with the program that started it.
func (a *App) withParent(cmd *cobra.Command) func(context.Context) (context.Context, context.CancelFunc) {
	set := cmd.Flags().Bool("with-parent", false, "end when standard input ends")
	if err := cmd.Flags().MarkHidden("with-parent"); err != nil {
		panic(err) // the flag was just defined
	}
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, stop := context.WithCancel(ctx)
		if *set {
			go func() {
				_, _ = io.Copy(io.Discard, a.stdin) // its end is what counts
				stop()
			}()
		}
		return ctx, stop
	}
}

// nats runs a NATS server of a topology on this machine: the real one, from a
// configuration file, without a binary that would have to be installed.
func (a *App) nats() *cobra.Command {
	cmd := &cobra.Command{
		Use: "nats", Hidden: true, Args: cobra.NoArgs, Short: "Run a NATS server",
		Example: "  meridian nats --config nats.conf",
	}
	path := configFlag(cmd)
	while := a.withParent(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := server.ProcessConfigFile(*path)
		if err != nil {
			return err
		}
		options.NoSigs = true
		running, err := server.NewServer(options)
		if err != nil {
			return err
		}
		running.ConfigureLogger()
		ctx, stop := while(cmd.Context())
		defer stop()
		running.Start()
		if !running.ReadyForConnections(natsReady) {
			running.Shutdown()
			return errors.New("NATS did not start; its log says why")
		}
		fmt.Fprintf(a.stderr, "NATS %s serves on %s\n", server.VERSION, running.Addr())
		<-ctx.Done()
		running.Shutdown()
		running.WaitForShutdown()
		return nil
	}
	return cmd
}

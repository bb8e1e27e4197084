// Command natsd is a NATS server with JetStream on disk, for tests that kill
// it. It listens on 127.0.0.1 and ends when its standard input does.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	store := flag.String("store", "", "folder of the streams")
	port := flag.Int("port", server.RANDOM_PORT, "port; -1 takes a free one")
	flag.Parse()
	if err := run(*store, *port); err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
		os.Exit(1)
	}
}

func run(store string, port int) error {
	running, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, ServerName: "test", NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: store, SyncAlways: true,
	})
	if err != nil {
		return err
	}
	running.Start()
	if !running.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("not ready on port %d", port)
	}
	fmt.Fprintln(os.Stdout, running.ClientURL())
	_, err = io.Copy(io.Discard, os.Stdin)
	running.Shutdown()
	running.WaitForShutdown()
	return err
}

package cockroachtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// initializedFile of the folder says that there is a cluster.
const initializedFile = "initialized"

func command(behind, folder string, args []string) error {
	if len(args) == 0 {
		return errors.New("no command")
	}
	if err := record(folder, args); err != nil {
		return err
	}
	switch args[0] {
	case "init":
		return initialize(folder, flag(args, "host"))
	case "start":
		return node(behind, folder, args)
	case "start-single-node":
		return serve(behind, args)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// record adds a line in one write, since commands run at the same time.
func record(folder string, args []string) error {
	line, err := json.Marshal(args)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(folder, callsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func flag(args []string, name string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

// initialize works once, as `cockroach init` does, and needs a node that runs.
func initialize(folder, host string) error {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(folder, initializedFile), os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return errors.New("cluster has already been initialized")
	}
	return errors.Join(err, f.Close(), conn.Close())
}

// node listens where it was told, and holds its clients until there is a cluster.
func node(behind, folder string, args []string) error {
	database, err := url.Parse(behind)
	if err != nil {
		return err
	}
	to := database.Host
	listener, err := net.Listen("tcp", flag(args, "listen-addr"))
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go carry(client, to, filepath.Join(folder, initializedFile))
		}
	}()
	database.Host = listener.Addr().String()
	return serve(database.String(), args)
}

func carry(client net.Conn, to, initialized string) {
	defer client.Close() //nolint:errcheck // both ends see it
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for absent(initialized) {
		<-again.C
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // both ends see it
	go func() {
		_, _ = io.Copy(server, client) // an end of either is the end of both
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

func absent(file string) bool {
	_, err := os.Stat(file)
	return err != nil
}

// serve makes the store, announces the URL and waits for its end. As CockroachDB
// it goes on after SIGQUIT.
func serve(at string, args []string) error {
	signal.Ignore(syscall.SIGQUIT)
	if err := os.MkdirAll(flag(args, "store"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(flag(args, "listening-url-file"), []byte(at+"\n"), 0o600); err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return nil
}

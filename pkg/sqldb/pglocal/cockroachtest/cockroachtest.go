// Package cockroachtest stands in for a cockroach binary where none can be had.
// It tests the side of whoever starts CockroachDB: which commands, with which
// arguments, in which order, how addresses are found, how nodes end. Behind its
// nodes is one PostgreSQL, so it says nothing about CockroachDB itself.
package cockroachtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// The variables that make a test binary a cockroach: the URL of the PostgreSQL
// behind it, and the folder in which the commands of one binary meet.
const (
	behindVariable = "MERIDIAN_COCKROACHTEST_BEHIND"
	folderVariable = "MERIDIAN_COCKROACHTEST_FOLDER"
)

// callsFile of the folder has the arguments of each command, one a line.
const callsFile = "calls"

// Main runs a command of cockroach, if this process was started as one, and
// returns its exit code. TestMain of a package that calls Install calls it first,
// and does nothing else when it was one.
func Main() (code int, was bool) {
	behind := os.Getenv(behindVariable)
	if behind == "" {
		return 0, false
	}
	if err := command(behind, os.Getenv(folderVariable), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		return 1, true
	}
	return 0, true
}

// Binary is a cockroach that a test installed.
type Binary struct {
	// Path is the program.
	Path string

	folder string
}

// Install makes a cockroach with a PostgreSQL behind it, whose URL this is, and
// sets COCKROACH_BINARY for the rest of the test.
func Install(t testing.TB, postgres string) *Binary {
	t.Helper()
	admin, err := url.Parse(postgres)
	if err != nil {
		t.Fatal(err)
	}
	admin.Path = "/postgres"
	folder := t.TempDir()
	b := &Binary{Path: filepath.Join(folder, "cockroach"), folder: folder}
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' %s='%s' exec '%s' \"$@\"\n",
		behindVariable, admin, folderVariable, folder, os.Args[0])
	if err := os.WriteFile(b.Path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COCKROACH_BINARY", b.Path)
	return b
}

// Calls returns the arguments of all commands named so far, oldest first.
func (b *Binary) Calls(t testing.TB, name string) [][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(b.folder, callsFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var calls [][]string
	for line := range bytes.Lines(content) {
		var args []string
		if err := json.Unmarshal(line, &args); err != nil {
			t.Fatal(err)
		}
		if args[0] == name {
			calls = append(calls, args)
		}
	}
	return calls
}

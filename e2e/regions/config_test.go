package regions_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// refused fails the test unless a command was refused with a text that names all
// of the words.
func refused(t *testing.T, r harness.Result, words ...string) {
	t.Helper()
	if r.Code != 2 {
		t.Errorf("%+v, want exit code 2", r)
	}
	for _, word := range words {
		if !strings.Contains(r.Stderr, word) {
			t.Errorf("the error is %q, want one that names %q", r.Stderr, word)
		}
	}
}

func TestDevRefusesRegions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"twice":        {[]string{"--regions", "us-east,eu-west,us-east"}, []string{"regions:", "us-east", "once"}},
		"no name":      {[]string{"--regions", "us-east,"}, []string{"regions:", `""`, "lower-case"}},
		"upper case":   {[]string{"--regions", "us-east,EU-West"}, []string{"regions:", "EU-West", "lower-case"}},
		"a path":       {[]string{"--regions", "us-east,../eu"}, []string{"regions:", "../eu", "lower-case"}},
		"a mirror":     {[]string{"--regions", "us-east,eu-mirror-us"}, []string{"regions:", "eu-mirror-us"}},
		"the database": {[]string{"--regions", "us-east,database"}, []string{"regions:", "database", "another name"}},
		"two servers":  {[]string{"--regions", "us-east,eu-west", "--nats-servers", "2"}, []string{"nats-servers:", "1 or 3", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "dev")
			refused(t, harness.Run(t, append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0"}, c.args...)...), c.want...)
			// Nothing was begun, so nothing is left: no folder of a region, no
			// database. The lock is free again.
			if entries, err := os.ReadDir(filepath.Join(dir, "regions")); err == nil {
				t.Errorf("it left %v", entries)
			}
			refused(t, harness.Run(t, append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0"}, c.args...)...), c.want...)
		})
	}
}

// A configuration is refused before anything is opened: there is no database and
// no NATS here.
func TestServeRefusesRegions(t *testing.T) {
	t.Parallel()
	const rest = "data_dir: d\nkeys: {service_file: k, regional_file: r}\n"
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"without its own":    {"region: eu-west\nregions: [us-east, ap-south]\n", []string{"regions:", "eu-west", "us-east"}},
		"one twice":          {"region: eu-west\nregions: [us-east, eu-west, us-east]\n", []string{"regions:", "us-east", "twice"}},
		"no name of its own": {"region: EU\nregions: [us-east, EU]\n", []string{"region:", "EU", "lower-case"}},
		"no name":            {"region: eu-west\nregions: [eu-west, us.east]\n", []string{"regions:", "us.east", "lower-case"}},
		"a peer's name":      {"region: eu-west\npeers: {EU: {authz: \"http://127.0.0.1:1\"}}\n", []string{"peers:", "EU", "lower-case"}},
		"a peer's address":   {"region: eu-west\npeers: {us-east: {authz: \"127.0.0.1:1\"}}\n", []string{"peers.us-east.authz:", "127.0.0.1:1", "https://host:port"}},
		"a peer's service":   {"region: eu-west\npeers: {us-east: {relay: \"http://127.0.0.1:1\"}}\n", []string{"line 2", "relay"}},
		"yesterday's":        {"region: eu-west\nidentity_url: http://127.0.0.1:1\n", []string{"line 2", "identity_url"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "meridian.yaml")
			if err := os.WriteFile(path, []byte(c.content+rest), 0o600); err != nil {
				t.Fatal(err)
			}
			r := harness.Command{
				Args: []string{"serve", "--config", path},
				Env:  []string{"MERIDIAN_DATABASE_URL=postgres://user:canary@127.0.0.1:1/meridian"},
			}.Run(t)
			refused(t, r, c.want...)
			if strings.Contains(r.Stderr+r.Stdout, "canary") {
				t.Error("the password is shown")
			}
		})
	}
}

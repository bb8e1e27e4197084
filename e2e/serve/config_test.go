package serve_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// What is wrong with a configuration is said before anything is opened, so none
// of these needs a database.
func TestWrongConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"unknown key":         {"region: eu-west\ndata_dir: d\nlissen: x\n", []string{"line 3", "lissen"}},
		"unknown inner key":   {"region: eu-west\nserver:\n  lissen: x\n", []string{"line 3", "lissen"}},
		"repeated key":        {"region: eu-west\nregion: us-east\n", []string{"line 2", "region"}},
		"wrong type":          {"region: eu-west\ndatabase:\n  max_connections: many\n", []string{"line 3"}},
		"no database":         {"region: eu-west\ndata_dir: d\n", []string{"database.url_file", "MERIDIAN_DATABASE_URL"}},
		"absent database url": {"database:\n  url_file: absent\n", []string{"database.url_file", "absent"}},
		"absent bus url":      {"database:\n  url_file: url\nbus:\n  url_file: absent\n", []string{"bus.url_file", "absent"}},
		"empty bus url":       {"database:\n  url_file: url\nbus:\n  url_file: empty\n", []string{"bus.url_file", "empty"}},
		"no region":           {"database:\n  url_file: url\ndata_dir: d\n", []string{"region: is required"}},
		"region not in list":  {"database:\n  url_file: url\nregion: eu-west\nregions: [us-east]\n", []string{"regions", "eu-west"}},
		"no data_dir":         {"database:\n  url_file: url\nregion: eu-west\n", []string{"data_dir: is required"}},
		"no service key":      {"database:\n  url_file: url\nregion: eu-west\ndata_dir: d\n", []string{"keys.service_file", "meridian keys"}},
		"no regional key": {
			"database:\n  url_file: url\nregion: eu-west\ndata_dir: d\nkeys:\n  service_file: k\n",
			[]string{"keys.regional_file", "meridian keys"},
		},
		"unknown service": {
			"database:\n  url_file: url\nregion: eu-west\ndata_dir: d\nkeys: {service_file: k, regional_file: r}\nservices: [identity, authzz]\n",
			[]string{"authzz", "authz"},
		},
		"identity elsewhere": {
			"database:\n  url_file: url\nregion: eu-west\ndata_dir: d\nkeys: {service_file: k, regional_file: r}\nservices: [authz]\n",
			[]string{"identity_urls: is required"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{"meridian.yaml": c.content, "url": "postgres://user:canary@127.0.0.1:1/x", "empty": "\n"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := harness.Command{Args: []string{"serve", "--config", "meridian.yaml"}, Dir: dir}.Run(t)
			if r.Code != 2 || strings.Contains(r.Stderr+r.Stdout, "canary") {
				t.Errorf("%+v, want exit code 2 and no password", r)
			}
			for _, want := range c.want {
				if !strings.Contains(r.Stderr, want) {
					t.Errorf("the error is %q, want one that names %q", r.Stderr, want)
				}
			}
		})
	}
}

func TestDatabaseAway(t *testing.T) {
	dir := t.TempDir()
	keys := harness.Run(t, "keys", filepath.Join(dir, "keys"))
	if keys.Code != 0 {
		t.Fatalf("%+v", keys)
	}
	config := filepath.Join(dir, "meridian.yaml")
	content := "region: eu-west\ndata_dir: " + dir + "\nkeys: {service_file: " + filepath.Join(dir, "keys/service.key") +
		", regional_file: " + filepath.Join(dir, "keys/regional.json") + "}\n"
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "migrate", "bootstrap"} {
		r := harness.Command{
			Args: []string{command, "--config", config},
			Env:  []string{"MERIDIAN_DATABASE_URL=postgres://user:canary@127.0.0.1:1/meridian?sslmode=disable"},
		}.Run(t)
		if r.Code != 2 || !strings.Contains(r.Stderr, "database") || strings.Contains(r.Stderr+r.Stdout, "canary") {
			t.Errorf("%s: %+v, want exit code 2, a word about the database and no password", command, r)
		}
	}
}

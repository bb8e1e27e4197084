package drill_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill"
)

const staging = `regions:
  - {name: us-east, url: "https://us-east.example"}
  - {name: eu-west, url: "https://eu-west.example", audits: ["https://a", "https://b"]}
  - {name: ap-south, url: "https://ap-south.example"}
delays: {us-east eu-west: 40ms, eu-west ap-south: 65ms, us-east ap-south: 110ms}
token_file: TOKEN
break: {region-isolation: 'echo cut $REGION $DRILL'}
heal: {region-isolation: 'exit 3'}
`

// open writes a target with a change, and opens it.
func open(t *testing.T, change func(string) string) (drill.Target, *strings.Builder, error) {
	t.Helper()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "target.yaml")
	if err := os.WriteFile(path, []byte(change(strings.Replace(staging, "TOKEN", token, 1))), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	target, err := drill.Open(path, said)
	return target, said, err
}

func TestStaging(t *testing.T) {
	target, said, err := open(t, func(s string) string { return s })
	if err != nil {
		t.Fatal(err)
	}
	if target.Token() != "secret" || target.Delay("ap-south", "eu-west") != 65*time.Millisecond {
		t.Errorf("token %q, delay %s", target.Token(), target.Delay("ap-south", "eu-west"))
	}
	want := "https://ap-south.example https://eu-west.example https://us-east.example"
	if got := strings.Join(target.URLs("ap-south"), " "); got != want {
		t.Errorf("from ap-south: %s, want the nearest first: %s", got, want)
	}
	if len(target.Audits("eu-west")) != 2 || target.Audits("us-east")[0] != "https://us-east.example" {
		t.Errorf("audits %q, %q", target.Audits("eu-west"), target.Audits("us-east"))
	}
	if err := target.Break(t.Context(), drill.RegionIsolation, "eu-west", nil); err != nil || said.String() != "cut eu-west region-isolation\n" {
		t.Errorf("break: %v, it said %q", err, said)
	}
	if err := target.Heal(t.Context(), drill.RegionIsolation, "eu-west"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a heal that fails: %v", err)
	}
	if err := target.Break(t.Context(), drill.RegionLoss, "eu-west", nil); err == nil {
		t.Error("a drill without a command was done")
	}
}

func TestStagingRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		old, new, want string
	}{
		"one region":         {staging[strings.Index(staging, "  - {name: eu"):strings.Index(staging, "delays")], "", "regions"},
		"a bad name":         {"name: eu-west", "name: EU", "regions[1].name"},
		"no url":             {`url: "https://us-east.example"`, `url: ""`, "regions[0].url"},
		"no such drill":      {"break: {region-isolation", "break: {region-party", "break"},
		"no heal":            {"heal: {region-isolation: 'exit 3'}", "", "heal"},
		"nothing to break":   {"break: {region-isolation: 'echo cut $REGION $DRILL'}", "", "break"},
		"an unknown setting": {"delays:", "delay:", "delay"},
		"no token":           {"token_file: ", "token_file: /nowhere", "token_file"},
	} {
		_, _, err := open(t, func(s string) string { return strings.Replace(s, tc.old, tc.new, 1) })
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want one that names %s", name, err, tc.want)
		}
	}
}

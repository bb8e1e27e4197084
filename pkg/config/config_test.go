package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/config"
)

type inner struct {
	Path string `yaml:"path"`
}

type settings struct {
	Listen  string        `yaml:"listen"`
	Timeout time.Duration `yaml:"timeout"`
	Size    int           `yaml:"size"`
	Inner   inner         `yaml:"inner"`
	On      bool          `yaml:"on"`
	Ratio   *float64      `yaml:"ratio"`
	Names   []string      `yaml:"names"`
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		want    string // part of the error, or ""
	}{
		"good":              {"listen: a:1\ntimeout: 3s\ninner:\n  path: /p\nnames: [a, b]\n", ""},
		"empty":             {"", ""},
		"only a comment":    {"# nothing\n", ""},
		"unknown key":       {"listen: a:1\nlissen: b\n", "line 2"},
		"unknown inner key": {"inner:\n  path: /p\n  pat: /p\n", "line 3"},
		"repeated key":      {"listen: a\nlisten: b\n", "line 2"},
		"wrong type":        {"listen: a\nsize: many\n", "line 2"},
		"not a duration":    {"timeout: soon\n", "line 1"},
		"two documents":     {"listen: a\n---\nlisten: b\n", "more than one document"},
		"not a mapping":     {"- a\n", "line 1"},
		"not YAML":          {"listen: [\n", "line"},
		"too large":         {strings.Repeat("#", 2<<20), "larger"},
	} {
		var got settings
		err := config.Parse([]byte(c.content), &got)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(path, []byte("timeout: 3s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := settings{Listen: "preset"}
	if err := config.Load(path, &got); err != nil || got.Timeout != 3*time.Second || got.Listen != "preset" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := config.Load(path+".absent", &got); err == nil {
		t.Error("an absent file is no error")
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environment []string
		want        string // part of the error, or ""
		check       func(s settings) bool
	}{
		"text":           {[]string{"MERIDIAN_LISTEN=b:2"}, "", func(s settings) bool { return s.Listen == "b:2" }},
		"duration":       {[]string{"MERIDIAN_TIMEOUT=5s"}, "", func(s settings) bool { return s.Timeout == 5*time.Second }},
		"inner":          {[]string{"MERIDIAN_INNER_PATH=/q"}, "", func(s settings) bool { return s.Inner.Path == "/q" }},
		"number, switch": {[]string{"MERIDIAN_SIZE=7", "MERIDIAN_ON=true"}, "", func(s settings) bool { return s.Size == 7 && s.On }},
		"pointer":        {[]string{"MERIDIAN_RATIO=0.5"}, "", func(s settings) bool { return s.Ratio != nil && *s.Ratio == 0.5 }},
		"list":           {[]string{"MERIDIAN_NAMES=a, b"}, "", func(s settings) bool { return len(s.Names) == 2 && s.Names[1] == "b" }},
		"another's":      {[]string{"PATH=/bin", "HOME"}, "", func(s settings) bool { return s.Listen == "a:1" }},
		"not a number":   {[]string{"MERIDIAN_SIZE=canary"}, "MERIDIAN_SIZE", nil},
	} {
		got := settings{Listen: "a:1"}
		_, err := config.Override(&got, c.environment)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && !c.check(got):
			t.Errorf("%s: %+v", name, got)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: %v, want %s and no value", name, err, c.want)
		}
	}
}

func TestOverrideNamesUnknownVariables(t *testing.T) {
	t.Parallel()
	var got settings
	unknown, err := config.Override(&got, []string{"MERIDIAN_LISSEN=b", "PATH=/bin", "MERIDIAN_LISTEN=a"})
	if err != nil || len(unknown) != 1 || unknown[0] != "MERIDIAN_LISSEN" || got.Listen != "a" {
		t.Errorf("%v, %v, %+v", unknown, err, got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("listen: a:1\ntimeout: 3s\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		var got settings
		_ = config.Parse(content, &got) // must not panic
	})
}

package eventlog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

func TestRegionalKeyIsWrittenOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "region.key")
	made, err := eventlog.NewRegionalKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	sealed, err := made.Encrypt([]byte("plain"), []byte("about"))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := eventlog.LoadRegionalKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := loaded.Decrypt(sealed, []byte("about")); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := eventlog.NewRegionalKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the key was replaced: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}

func TestLoadRegionalKeyRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := eventlog.NewRegionalKey(good); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		mode    os.FileMode
	}{
		"read by others": {content, 0o644},
		"read by group":  {content, 0o640},
		"cut off":        {content[:len(content)/2], 0o600},
		"empty":          {nil, 0o600},
		"too large":      {make([]byte, 1<<20), 0o600},
	} {
		path := filepath.Join(dir, "key "+name)
		if err := os.WriteFile(path, c.content, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := eventlog.LoadRegionalKey(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := eventlog.LoadRegionalKey(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := eventlog.LoadRegionalKey(dir); err == nil {
		t.Error("a directory was accepted")
	}
}

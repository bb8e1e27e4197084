package blind_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/services/identity/internal/blind"
)

const golden = "192272e4809f396807be269bf11b16e304c16257d7896f82f80f2fd65520a9cb"

func key(t *testing.T) blind.Key {
	t.Helper()
	k, err := blind.NewKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestIndex(t *testing.T) {
	k := key(t)
	base := k.Index("email", "org_1", "ada@example.com")
	// Computed once with another implementation: rows hold it, so it never changes.
	if got := hex.EncodeToString(base); got != golden {
		t.Errorf("index is %s, want %s", got, golden)
	}
	other, err := blind.NewKey(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, index := range map[string][]byte{
		"other key":           other.Index("email", "org_1", "ada@example.com"),
		"other purpose":       k.Index("phone", "org_1", "ada@example.com"),
		"other realm":         k.Index("email", "org_2", "ada@example.com"),
		"other text":          k.Index("email", "org_1", "ada@example.con"),
		"boundary moved":      k.Index("email", "org_1a", "da@example.com"),
		"boundary moved back": k.Index("emailorg", "_1", "ada@example.com"),
		"all in one":          k.Index("", "", "emailorg_1ada@example.com"),
		"nothing":             k.Index("", "", ""),
	} {
		if len(index) != blind.IndexSize || bytes.Equal(index, base) {
			t.Errorf("%s: index %x", name, index)
		}
	}
	if !bytes.Equal(base, k.Index("email", "org_1", "ada@example.com")) {
		t.Error("the same text has two indexes")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blind.key")
	if err := blind.MakeKeyFile(path); err != nil {
		t.Fatal(err)
	}
	first, err := blind.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("file is %v, %v", info, err)
	}
	if err := blind.MakeKeyFile(path); err != nil {
		t.Fatal(err)
	}
	second, err := blind.LoadKey(path)
	if err != nil || !bytes.Equal(first.Index("p", "r", "t"), second.Index("p", "r", "t")) {
		t.Errorf("a file that exists was not kept: %v", err)
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte{'k'}, size), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, path := range map[string]string{
		"absent":         filepath.Join(dir, "none"),
		"a folder":       dir,
		"empty":          write("empty", 0, 0o600),
		"short":          write("short", 31, 0o600),
		"long":           write("long", 33, 0o600),
		"huge":           write("huge", 1<<20, 0o600),
		"group may read": write("group", 32, 0o640),
		"all may read":   write("all", 32, 0o604),
	} {
		k, err := blind.LoadKey(path)
		if err == nil || !k.IsZero() || strings.Contains(err.Error(), "kkk") {
			t.Errorf("%s: %v", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("the zero key makes an index")
		}
	}()
	blind.Key{}.Index("p", "r", "t")
}

func TestKeyIsNotPrinted(t *testing.T) {
	k := key(t)
	within := struct{ Key, hidden blind.Key }{k, k}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", slog.Any("key", k), slog.Any("within", within))
	content, err := json.Marshal(map[string]any{"key": k, "within": within})
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(content)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, k), fmt.Sprintf(verb, &k), fmt.Sprintf(verb, within))
	}
	for _, text := range printed {
		for _, leak := range []string{"7 7", "7, 7", "0x7,", "0707", "\a\a"} {
			if strings.Contains(text, leak) {
				t.Errorf("the key shows: %s", text)
			}
		}
	}
}

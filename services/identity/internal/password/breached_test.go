package password_test

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
)

func digest(text string) string { return fmt.Sprintf("%X", sha1.Sum([]byte(text))) }

// records returns a line for each password, in order and without ends.
func records(texts ...string) []string {
	lines := make([]string, len(texts))
	for i, text := range texts {
		lines[i] = digest(text) + ":" + strconv.Itoa(i*i+1)
	}
	slices.Sort(lines)
	return lines
}

func writeSorted(t testing.TB, texts ...string) string {
	t.Helper()
	return write(t, strings.Join(records(texts...), "\r\n")+"\r\n")
}

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pwned-passwords-sha1-ordered-by-hash.txt")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *password.Breached {
	t.Helper()
	list, err := password.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := list.Close(); err != nil {
			t.Error(err)
		}
	})
	return list
}

func contains(t testing.TB, list *password.Breached, text string) bool {
	t.Helper()
	found, err := list.Contains(t.Context(), secret.NewString(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return found
}

func numbered(from, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = "password " + strconv.Itoa(from+i)
	}
	return texts
}

func TestSortedFileFindsEveryLine(t *testing.T) {
	const n = 100_000
	list := open(t, writeSorted(t, numbered(0, n)...))
	if err := list.Inspect(t.Context()); err != nil {
		t.Error(err)
	}
	for _, text := range numbered(0, n) {
		if !contains(t, list, text) {
			t.Fatalf("%q is in the file and was not found", text)
		}
	}
	for _, text := range numbered(n, n/10) {
		if contains(t, list, text) {
			t.Fatalf("%q is not in the file and was found", text)
		}
	}
}

func TestSmallSortedFiles(t *testing.T) {
	for n := 1; n <= 70; n++ {
		lines := records(numbered(0, n)...)
		for name, content := range map[string]string{
			"CRLF":        strings.Join(lines, "\r\n") + "\r\n",
			"LF":          strings.Join(lines, "\n") + "\n",
			"no last end": strings.Join(lines, "\n"),
			"lower case":  strings.ToLower(strings.Join(lines, "\n")),
			"long counts": strings.ReplaceAll(strings.Join(lines, "\n"), ":", ":99999999999999"),
		} {
			list := open(t, write(t, content))
			for i, text := range numbered(0, 2*n) {
				if contains(t, list, text) != (i < n) {
					t.Errorf("%d lines, %s: %q found: %t", n, name, text, i >= n)
				}
			}
			if err := list.Inspect(t.Context()); err != nil {
				t.Errorf("%d lines, %s: %v", n, name, err)
			}
		}
	}
}

func TestBrokenSortedFileIsNotOpened(t *testing.T) {
	lines := records(numbered(0, 1000)...)
	shuffled := slices.Clone(lines)
	slices.SortFunc(shuffled, func(a, b string) int { return strings.Compare(a[7:], b[7:]) })
	for name, content := range map[string]string{
		"empty":                 "",
		"an empty line":         "\n",
		"another file":          strings.Repeat("correct horse battery staple\n", 100),
		"one long line":         strings.Repeat("A", 100_000),
		"only newlines":         strings.Repeat("\n", 1000),
		"zeros":                 strings.Repeat("\x00", 5000),
		"in another order":      strings.Join(shuffled, "\n"),
		"two lists in a row":    strings.Join(append(slices.Clone(lines), lines...), "\n"),
		"cut in the last hash":  strings.Join(lines, "\n")[:len(strings.Join(lines, "\n"))-20],
		"without counts":        strings.Join(lines, "\n")[:40],
		"an empty count":        digest("a") + ":\n",
		"a count too long":      digest("a") + ":1234567890123456789\n",
		"a negative count":      digest("a") + ":-1\n",
		"an NTLM list":          strings.Repeat("0123456789ABCDEF0123456789ABCDEF:1\n", 10),
		"a line twice":          digest("a") + ":1\n" + digest("a") + ":1\n",
		"not hexadecimal":       strings.Repeat("G", 40) + ":1\n",
		"a SHA-256 list":        strings.Repeat("0", 64) + ":1\n",
		"a space after a count": digest("a") + ":1 \n",
	} {
		t.Run(name, func(t *testing.T) {
			if list, err := password.Open(write(t, content)); err == nil {
				t.Errorf("Open = %v, and no error", list)
			}
		})
	}
	if _, err := password.Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

// unknown says whether the answer is that it is not known, without a word about
// the password.
func unknown(t *testing.T, list *password.Breached, text string) {
	t.Helper()
	found, err := list.Contains(t.Context(), secret.NewString(text))
	if found || !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Errorf("Contains = %t, %v; want SERVICE_UNAVAILABLE", found, err)
		return
	}
	if hash := digest(text); strings.Contains(err.Error(), hash[:5]) || strings.ContainsAny(err.Error(), "0123456789") {
		t.Errorf("the error tells where it looked: %v", err)
	}
}

// Wherever one line is broken, its password is never said not to be breached.
func TestBrokenLineIsAnError(t *testing.T) {
	const n = 300
	whole := strings.Join(records(numbered(0, n)...), "\n") + "\n"
	for _, text := range numbered(0, n) {
		at := strings.Index(whole, digest(text))
		content := []byte(whole)
		content[at+17] = '?'
		path := write(t, whole)
		list := open(t, path)
		if err := os.WriteFile(path, content, 0o600); err != nil { // in place, under the open list
			t.Fatal(err)
		}
		unknown(t, list, text)
		if err := list.Inspect(t.Context()); err == nil {
			t.Error("Inspect finds nothing")
		}
	}
}

func TestInspectFindsLinesThatChangedPlaces(t *testing.T) {
	lines := records(numbered(0, 10_000)...)
	lines[5001], lines[5002] = lines[5002], lines[5001]
	list := open(t, write(t, strings.Join(lines, "\n")+"\n"))
	if err := list.Inspect(t.Context()); err == nil {
		t.Error("Inspect finds nothing")
	}
}

func TestFileThatShrinksIsAnError(t *testing.T) {
	path := writeSorted(t, numbered(0, 1000)...)
	list := open(t, path)
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	unknown(t, list, "password 1")
	if err := list.Inspect(t.Context()); err == nil {
		t.Error("Inspect finds nothing")
	}
}

func TestContainsBothForms(t *testing.T) {
	for _, listed := range []string{"cafe\u0301 au lait", "caf\u00e9 au lait"} {
		list := open(t, writeSorted(t, listed, "another"))
		if !contains(t, list, "cafe\u0301 au lait") {
			t.Errorf("%+q is listed, and was not found", listed)
		}
	}
	list := open(t, writeSorted(t, "another"))
	if _, err := list.Contains(t.Context(), secret.NewString("\xff")); !broken(err, "password", "utf8") {
		t.Errorf("invalid UTF-8: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := list.Contains(ctx, secret.NewString("another")); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if err := list.Inspect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Inspect after the end: %v", err)
	}
}

// folder writes range files for the passwords, each with some padding, and for
// the first prefix.
func folder(t *testing.T, extension string, texts ...string) string {
	t.Helper()
	files := map[string][]string{"00000": {strings.Repeat("A", 35) + ":3"}}
	for _, text := range texts {
		hash := digest(text)
		files[hash[:5]] = append(files[hash[:5]], hash[5:]+":12", digest("padding " + text)[5:]+":0")
	}
	path := t.TempDir()
	for prefix, lines := range files {
		slices.Sort(lines)
		if err := os.WriteFile(filepath.Join(path, prefix+extension), []byte(strings.Join(lines, "\r\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestRangeFiles(t *testing.T) {
	const n = 1000
	for _, extension := range []string{"", ".txt"} {
		path := folder(t, extension, numbered(0, n)...)
		list := open(t, path)
		for _, text := range numbered(0, n) {
			if !contains(t, list, text) {
				t.Fatalf("%q is in the folder and was not found", text)
			}
		}
		unknown(t, list, "whose prefix has no file")
		name := filepath.Join(path, digest("password 7")[:5]+extension)
		for broken, content := range map[string]string{
			"empty": "", "text": "nothing\n", "cut": digest("password 7")[5:20], "an empty line": digest("a")[5:] + ":1\n\n",
			"whole hashes": digest("password 7") + ":1", "too long": strings.Repeat(digest("a")[5:]+":1\n", 150_000),
		} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Log(broken)
			unknown(t, list, "password 7")
		}
		if err := list.Inspect(t.Context()); err == nil {
			t.Error("Inspect finds nothing")
		}
	}
}

func TestPaddingIsNotBreached(t *testing.T) {
	path := folder(t, "")
	const text = "a password"
	hash := digest(text)
	if err := os.WriteFile(filepath.Join(path, hash[:5]), []byte(hash[5:]+":0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if contains(t, open(t, path), text) {
		t.Error("padding of a range file is no breach")
	}
	if contains(t, open(t, write(t, hash+":0\n")), text) {
		t.Error("padding of a sorted file is no breach")
	}
}

func TestFolderThatIsNoList(t *testing.T) {
	if _, err := password.Open(t.TempDir()); err == nil {
		t.Error("an empty folder is a list")
	}
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "00000.txt"), []byte("README"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := password.Open(path); err == nil {
		t.Error("a folder with something else is a list")
	}
}

// Whatever the file, nothing panics or hangs, and what a sound file has is found.
func FuzzSortedFile(f *testing.F) {
	f.Add(strings.Join(records(numbered(0, 5)...), "\r\n"), "password 1")
	f.Add(strings.Repeat("\n", 200), "a")
	f.Add(strings.Repeat("A", 40)+":1", "a")
	f.Fuzz(func(t *testing.T, content, text string) {
		if len(content) > 64<<10 {
			return
		}
		list, err := password.Open(write(t, content))
		if err != nil {
			return
		}
		defer list.Close()
		found, err := list.Contains(t.Context(), secret.NewString(text))
		if err != nil || list.Inspect(t.Context()) != nil {
			return
		}
		if strings.Contains(strings.ToUpper(content), digest(text)+":0") {
			return
		}
		if listed := strings.Contains(strings.ToUpper(content), digest(text)); listed && !found {
			t.Errorf("%q is in the file, and was not found", text)
		}
	})
}

func BenchmarkContains(b *testing.B) {
	list := open(b, writeSorted(b, numbered(0, 100_000)...))
	s := secret.NewString("password 4711")
	b.ReportAllocs()
	for b.Loop() {
		if found, err := list.Contains(b.Context(), s); err != nil || !found {
			b.Fatal(found, err)
		}
	}
}

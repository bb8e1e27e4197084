package mail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/secret"
)

func TestEndpoint(t *testing.T) {
	for given, want := range map[string]server{
		"smtps://u:hunter2@mail.example":  {host: "mail.example", address: "mail.example:465", implicitTLS: true, user: "u", password: secret.NewString("hunter2")},
		"smtp://u:hunter2@mail.example":   {host: "mail.example", address: "mail.example:587", user: "u", password: secret.NewString("hunter2")},
		"smtp://mail.example:25":          {host: "mail.example", address: "mail.example:25"},
		"smtp://[2001:db8::1]:25":         {host: "2001:db8::1", address: "[2001:db8::1]:25"},
		"smtps://u:p%40%2F@127.0.0.1:465": {host: "127.0.0.1", address: "127.0.0.1:465", implicitTLS: true, user: "u", password: secret.NewString("p@/")},
		"smtp://127.0.0.1:1025":           {host: "127.0.0.1", address: "127.0.0.1:1025", plaintext: true},
		"smtp://[::1]:1025":               {host: "::1", address: "[::1]:1025", plaintext: true},
		"smtp://localhost:1025":           {host: "localhost", address: "localhost:1025", plaintext: true},
		"smtp://192.0.2.1:1025":           {host: "192.0.2.1", address: "192.0.2.1:1025"},
		"smtp://localhost.evil.example":   {host: "localhost.evil.example", address: "localhost.evil.example:587"},
		"smtp://0.0.0.0:25":               {host: "0.0.0.0", address: "0.0.0.0:25"},
	} {
		got, err := endpoint(Config{URL: secret.NewString(given), AllowPlaintext: true})
		if err != nil || got != want {
			t.Errorf("endpoint(%q) = %+v, %v", given, got, err)
		}
		strict, err := endpoint(Config{URL: secret.NewString(given)})
		if err != nil || strict.plaintext {
			t.Errorf("endpoint(%q) = %+v, %v without AllowPlaintext", given, strict, err)
		}
	}
}

func TestNewSenderRefuses(t *testing.T) {
	const from = "Meridian <no-reply@example.com>"
	for name, c := range map[string]Config{
		"no URL":             {From: from},
		"no scheme":          {URL: secret.NewString("mail.hunter2.example:25"), From: from},
		"other scheme":       {URL: secret.NewString("https://u:hunter2@mail.example"), From: from},
		"no host":            {URL: secret.NewString("smtp://u:hunter2@:25"), From: from},
		"path":               {URL: secret.NewString("smtp://u:hunter2@mail.example/x"), From: from},
		"query":              {URL: secret.NewString("smtp://u:hunter2@mail.example?x=1"), From: from},
		"port 0":             {URL: secret.NewString("smtp://u:hunter2@mail.example:0"), From: from},
		"port 65536":         {URL: secret.NewString("smtp://u:hunter2@mail.example:65536"), From: from},
		"user only":          {URL: secret.NewString("smtp://hunter2@mail.example"), From: from},
		"password only":      {URL: secret.NewString("smtp://:hunter2@mail.example"), From: from},
		"slash not encoded":  {URL: secret.NewString("smtp://u:hunter2/x@mail.example"), From: from},
		"percent":            {URL: secret.NewString("smtp://u:hunter2%zz@mail.example"), From: from},
		"no sender":          {URL: secret.NewString("smtp://mail.example")},
		"two senders":        {URL: secret.NewString("smtp://mail.example"), From: "a@example.com, b@example.com"},
		"sender with header": {URL: secret.NewString("smtp://mail.example"), From: "a <a@example.com>\r\nBcc: b@example.com"},
		"sender with UTF-8":  {URL: secret.NewString("smtp://mail.example"), From: "zoë@example.com"},
		"negative timeout":   {URL: secret.NewString("smtp://mail.example"), From: from, Timeout: -1},
		"negative number":    {URL: secret.NewString("smtp://mail.example"), From: from, MaxConcurrent: -1},
	} {
		if s, err := NewSender(c); err == nil || s != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestLoadURL(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got, err := LoadURL(write("good", "smtps://u:hunter2@mail.example\n", 0o600)); err != nil || got.Reveal() != "smtps://u:hunter2@mail.example" {
		t.Errorf("LoadURL = %v, %v", got, err)
	}
	for name, path := range map[string]string{
		"absent":         filepath.Join(dir, "none"),
		"a folder":       dir,
		"group may read": write("group", "smtps://u:hunter2@mail.example", 0o640),
		"huge":           write("huge", strings.Repeat("hunter2", 1000), 0o600),
	} {
		if got, err := LoadURL(path); err == nil || !got.IsZero() || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

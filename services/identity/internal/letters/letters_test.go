package letters_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/mail"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

var (
	code  = secret.NewString("483912")
	token = secret.NewString("mlt_0a1b+2c/3d=")
	at    = time.Date(2026, 11, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
)

func desk(t *testing.T) *letters.Desk {
	t.Helper()
	d, err := letters.NewDesk(letters.Config{Product: "Meridian", Pages: letters.PagesAt("https://id.example.com/")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestGoldens(t *testing.T) {
	d := desk(t)
	for name, letter := range map[string]letters.Letter{
		"sign_in_code":         letters.SignInCode{Code: code, Lifetime: 10 * time.Minute},
		"sign_in_link":         letters.SignInLink{Token: token, Lifetime: time.Hour},
		"confirm_address":      letters.ConfirmAddress{Token: token, Code: code, Lifetime: 24 * time.Hour},
		"confirm_address_link": letters.ConfirmAddress{Token: token, Lifetime: 36 * time.Hour},
		"confirm_address_code": letters.ConfirmAddress{Code: code, Lifetime: time.Minute},
		"invitation":           letters.Invitation{Organization: "Acme & Söhne", Inviter: "Ada Lovelace", Token: token, Lifetime: 7 * 24 * time.Hour},
		"invitation_by_nobody": letters.Invitation{Organization: "Acme", Token: token, Lifetime: 7*24*time.Hour - 3*time.Millisecond},
		"password_changed":     letters.PasswordChanged{At: at},
		"address_in_use":       letters.AddressInUse{At: at},
		"recovery":             letters.Recovery{Token: token, Code: code, Lifetime: 90 * time.Minute},
		"recovery_link":        letters.Recovery{Token: token, Lifetime: time.Hour},
		"recovery_code":        letters.Recovery{Code: code, Lifetime: time.Hour},
	} {
		for _, locale := range []letters.Locale{letters.English, letters.German} {
			t.Run(name+"."+string(locale), func(t *testing.T) {
				m, err := d.Write(locale, "ada@example.com", letter)
				if err != nil {
					t.Fatal(err)
				}
				wellFormed(t, m.HTML)
				got := "Subject: " + m.Subject + "\n\n" + m.Text + "\n--- HTML ---\n\n" + m.HTML
				golden := filepath.Join("testdata", name+"."+string(locale)+".txt")
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Fatal(diff)
				}
			})
		}
	}
}

// wellFormed fails when tags do not match: pages of letters are written so that an
// XML parser can read them but for their first line and the void elements.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(page, "<!doctype html>")))
	d.AutoClose, d.Entity, d.Strict = []string{"meta"}, xml.HTMLEntity, false
	open := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, page)
		}
		switch token.(type) {
		case xml.StartElement:
			open++
		case xml.EndElement:
			open--
		}
	}
	if open != 0 {
		t.Errorf("%d elements are left open in %s", open, page)
	}
}

// TestHostileNames: what people call themselves is text, and no more.
func TestHostileNames(t *testing.T) {
	d := desk(t)
	for name, tc := range map[string]struct{ organization, shown string }{
		"script":            {`<script>alert(1)</script>`, "<script>alert(1)</\u2060script>"},
		"attribute":         {`" onload="alert(1)`, `" onload="alert(1)`},
		"template":          {`{{.Link}}`, "{{.\u2060Link}}"},
		"header":            {"Acme\r\nBcc: eve@evil.example", "Acme Bcc: eve@\u2060evil.\u2060example"},
		"link":              {"https://evil.example/x", "https:\u2060/\u2060/\u2060evil.\u2060example/\u2060x"},
		"domain":            {"Your account at evil.example", "Your account at evil.\u2060example"},
		"bidi":              {"Acme \u202Egpj", "Acme gpj"},
		"null":              {"Ac\x00me", "Acme"},
		"paragraphs":        {"Acme\n\n\nYour account is locked", "Acme Your account is locked"},
		"encoded word":      {"=?utf-8?q?evil?=", "=?utf-8?q?evil?="},
		"long":              {strings.Repeat("a", 200), strings.Repeat("a", 64) + "…"},
		"long in bytes":     {strings.Repeat("𠀀", 200), strings.Repeat("𠀀", 33) + "…"},
		"64 KiB":            {strings.Repeat("a.", 32<<10), ""},
		"64 KiB of nothing": {strings.Repeat("\u200B", 32<<10) + "Acme", "Acme"},
		"quotes":            {`O'Brien "&" Co`, `O'Brien "&" Co`},
		"invalid UTF-8":     {"Ac\xffme", "Acme"},
	} {
		for _, locale := range []letters.Locale{letters.English, letters.German} {
			t.Run(name+"."+string(locale), func(t *testing.T) {
				m, err := d.Write(locale, "ada@example.com", letters.Invitation{
					Organization: tc.organization, Inviter: tc.organization, Token: token, Lifetime: time.Hour,
				})
				if err != nil {
					t.Fatal(err)
				}
				if strings.ContainsAny(m.Subject, "\r\n\x00") || len(m.Subject) > mail.MaxSubject {
					t.Errorf("subject %q", m.Subject)
				}
				if !strings.Contains(m.Subject, tc.shown) || !strings.Contains(strings.Join(strings.Fields(m.Text), " "), tc.shown) {
					t.Errorf("want %q in %q and %q", tc.shown, m.Subject, m.Text)
				}
				for _, bad := range []string{"<script", `" onload`, "\x00", "\u202E", "evil.example", "//evil"} {
					if strings.Contains(m.HTML, bad) {
						t.Errorf("the page has %q: %s", bad, m.HTML)
					}
				}
				if n := strings.Count(m.HTML, "<a "); n != 1 {
					t.Errorf("the page has %d links", n)
				}
				if len(m.Text) > 2048 || len(m.HTML) > 4096 {
					t.Errorf("%d bytes of text, %d of HTML", len(m.Text), len(m.HTML))
				}
			})
		}
	}
}

// TestHostileTokens: a token is a parameter of a link, whatever is in it.
func TestHostileTokens(t *testing.T) {
	m, err := desk(t).Write(letters.English, "ada@example.com", letters.SignInLink{Token: secret.NewString(`"><script>&x=1#`), Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	const link = "https://id.example.com/sign-in/link?token=%22%3E%3Cscript%3E%26x%3D1%23"
	if strings.Count(m.HTML, link) != 2 || strings.Count(m.Text, link) != 1 || strings.Contains(m.HTML, "<script") {
		t.Errorf("letter %s\n%s", m.Text, m.HTML)
	}
}

func TestWriteRefuses(t *testing.T) {
	d := desk(t)
	for name, letter := range map[string]letters.Letter{
		"code without code":               letters.SignInCode{Lifetime: time.Hour},
		"code without lifetime":           letters.SignInCode{Code: code},
		"code for seconds":                letters.SignInCode{Code: code, Lifetime: 59 * time.Second},
		"link without token":              letters.SignInLink{Lifetime: time.Hour},
		"confirmation without anything":   letters.ConfirmAddress{Lifetime: time.Hour},
		"recovery without anything":       letters.Recovery{Lifetime: time.Hour},
		"invitation without organization": letters.Invitation{Token: token, Lifetime: time.Hour},
		"invitation to nothing visible":   letters.Invitation{Organization: "\u200B\x00", Token: token, Lifetime: time.Hour},
		"change without time":             letters.PasswordChanged{},
		"sign-up without time":            letters.AddressInUse{},
	} {
		if _, err := d.Write(letters.English, "ada@example.com", letter); err == nil {
			t.Errorf("%s is written", name)
		}
	}
	for _, to := range []string{"", "ada", "ada@example.com\r\nBcc: eve@example.com"} {
		if _, err := d.Write(letters.English, to, letters.PasswordChanged{At: at}); err == nil || to != "" && strings.Contains(err.Error(), to) {
			t.Errorf("a letter to %q: %v", to, err)
		}
	}
	if _, err := d.Write("fr", "ada@example.com", letters.PasswordChanged{At: at}); err == nil {
		t.Error("a letter in a language that there is not")
	}
}

// FuzzAddress: mail can be written to every address that somebody can have.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"ada@example.com", "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "Straße@straße.de", "a!#$%&'*+-/=?^_`{|}~@b.example", "שלום@example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := address.Parse(text)
		if err != nil {
			return
		}
		if err := (mail.Message{To: a.Mailbox, Subject: "s", Text: "t"}).Check(); err != nil {
			t.Errorf("no mail can go to %+q: %v", a.Mailbox, err)
		}
	})
}

func TestNewDeskRefuses(t *testing.T) {
	good := letters.Config{Product: "Meridian", Pages: letters.PagesAt("https://id.example.com")}
	for name, change := range map[string]func(*letters.Config){
		"no product":        func(c *letters.Config) { c.Product = "" },
		"long product":      func(c *letters.Config) { c.Product = strings.Repeat("m", 65) },
		"product of lines":  func(c *letters.Config) { c.Product = "Meri\ndian" },
		"no page":           func(c *letters.Config) { c.Pages.Recovery = "" },
		"relative":          func(c *letters.Config) { c.Pages.SignIn = "/sign-in" },
		"plain http":        func(c *letters.Config) { c.Pages.Link = "http://id.example.com/link" },
		"script":            func(c *letters.Config) { c.Pages.Link = "javascript:alert(1)" },
		"with a user":       func(c *letters.Config) { c.Pages.Link = "https://u:p@id.example.com/link" },
		"with a query":      func(c *letters.Config) { c.Pages.Confirm = "https://id.example.com/confirm?x=1" },
		"with a fragment":   func(c *letters.Config) { c.Pages.Invitation = "https://id.example.com/#x" },
		"with an empty one": func(c *letters.Config) { c.Pages.Invitation = "https://id.example.com/?" },
	} {
		c := good
		change(&c)
		if _, err := letters.NewDesk(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := letters.NewDesk(letters.Config{Product: "Meridian", Pages: letters.PagesAt("http://127.0.0.1:8080")}); err != nil {
		t.Errorf("pages of development: %v", err)
	}
}

// TestLanguages: every letter is written in every language.
func TestLanguages(t *testing.T) {
	english, err := filepath.Glob("templates/en/*.tmpl")
	if err != nil || len(english) == 0 {
		t.Fatal(err)
	}
	for _, path := range english {
		if _, err := os.Stat(filepath.Join("templates/de", filepath.Base(path))); err != nil {
			t.Error(err)
		}
	}
}

func TestMatch(t *testing.T) {
	for name, tc := range map[string]struct {
		texts []string
		want  letters.Locale
	}{
		"nothing":           {nil, letters.English},
		"empty":             {[]string{"", ""}, letters.English},
		"German":            {[]string{"de"}, letters.German},
		"Austrian":          {[]string{"de-AT"}, letters.German},
		"Swiss German":      {[]string{"gsw-CH"}, letters.German},
		"header":            {[]string{"fr;q=0.9, de;q=0.8, en;q=0.7"}, letters.German},
		"header, weighted":  {[]string{"de;q=0.2, en;q=0.7"}, letters.English},
		"other":             {[]string{"ja"}, letters.English},
		"own before header": {[]string{"en", "de"}, letters.English},
		"own is unknown":    {[]string{"xx", "de"}, letters.German},
		"own is malformed":  {[]string{"\x00;;;", "de"}, letters.German},
		"long":              {[]string{strings.Repeat("de,", 30_000)}, letters.English},
		"wildcard":          {[]string{"*"}, letters.English},
	} {
		if got := letters.Match(tc.texts...); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

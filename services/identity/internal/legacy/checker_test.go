package legacy_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
)

const password = "correct horse <battery> & \"staple\""

// server is a checker that answers by a function and counts.
type server struct {
	*httptest.Server

	calls atomic.Int64
}

func serve(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func source(url string) legacy.Source {
	return legacy.Source{Name: "console", URL: url, Secrets: []secret.String{secret.NewString("mss_new"), secret.NewString("mss_old")}}
}

func ask(ctx context.Context, c *legacy.Checker, s legacy.Source) (legacy.Verdict, error) {
	return c.Check(ctx, s, "4711", "ada@example.com", secret.NewString(password))
}

// none wants no verdict, and an error that tells nothing.
func none(t *testing.T, verdict legacy.Verdict, err error) {
	t.Helper()
	if verdict != 0 || !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Fatalf("Check = %d, %v; want SERVICE_UNAVAILABLE", verdict, err)
	}
	for _, told := range []string{"correct horse", "ada@", "4711", "mss_", "?", "a secret answer"} {
		if strings.Contains(err.Error(), told) {
			t.Errorf("%q is in the error: %v", told, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for answer, want := range map[string]legacy.Verdict{
		`{"ok": true}`:             legacy.Accepted,
		`{"ok":false}`:             legacy.Rejected,
		" {\n\"ok\" : true } \r\n": legacy.Accepted,
	} {
		checker := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var asked map[string]string
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			if len(asked) != 4 || asked["source"] != "console" || asked["external_id"] != "4711" ||
				asked["email"] != "ada@example.com" || asked["password"] != password {
				t.Errorf("asked %v", asked)
			}
			if r.Method != http.MethodPost || r.URL.RequestURI() != "/check?tenant=1" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("asked by %s %s, %v", r.Method, r.URL, r.Header)
			}
			says(answer)(w, r)
		})
		if verdict, err := ask(t.Context(), legacy.New(legacy.Options{}), source(checker.URL+"/check?tenant=1")); err != nil || verdict != want {
			t.Errorf("%s: %d, %v", answer, verdict, err)
		}
	}
}

func TestAnythingElseIsNoVerdict(t *testing.T) {
	elsewhere := serve(t, says(`{"ok": true}`))
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			says(`{"ok": true}`)(w, r)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"created":      status(http.StatusCreated),
		"unauthorized": status(http.StatusUnauthorized),
		"broken":       status(http.StatusInternalServerError),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"empty":           says(""),
		"text":            says("a secret answer"),
		"null":            says("null"),
		"true":            says("true"),
		"list":            says(`[{"ok": true}]`),
		"empty object":    says(`{}`),
		"another case":    says(`{"OK": true}`),
		"a text":          says(`{"ok": "true"}`),
		"a number":        says(`{"ok": 1}`),
		"twice":           says(`{"ok": false, "ok": true}`),
		"another member":  says(`{"ok": true, "user": "4711"}`),
		"an object in it": says(`{"ok": {"ok": true}}`),
		"two":             says(`{"ok": true}{"ok": true}`),
		"cut":             says(`{"ok": true`),
		"huge":            says(`{"ok": true}` + strings.Repeat(" ", 4<<10)),
		"endless header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("a", 64<<10))
			says(`{"ok": true}`)(w, r)
		},
		"compressed": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			says("\x1f\x8b")(w, r)
		},
		"cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"less than announced": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			says(`{"ok": true}`)(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			checker := serve(t, answer)
			verdict, err := ask(t.Context(), legacy.New(legacy.Options{}), source(checker.URL+"?token=abc"))
			none(t, verdict, err)
			if checker.calls.Load() != 1 {
				t.Errorf("asked %d times", checker.calls.Load())
			}
		})
	}
	if elsewhere.calls.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func TestNobodyThere(t *testing.T) {
	checker := serve(t, says(""))
	checker.Close()
	verdict, err := ask(t.Context(), legacy.New(legacy.Options{}), source(checker.URL+"?token=abc"))
	none(t, verdict, err)
}

func TestCertificates(t *testing.T) {
	checker := httptest.NewUnstartedServer(says(`{"ok": true}`))
	checker.Config.ErrorLog = log.New(io.Discard, "", 0)
	checker.StartTLS()
	t.Cleanup(checker.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(checker.Certificate())

	if verdict, err := ask(t.Context(), legacy.New(legacy.Options{Roots: trusted}), source(checker.URL)); err != nil || verdict != legacy.Accepted {
		t.Fatalf("trusted: %d, %v", verdict, err)
	}
	verdict, err := ask(t.Context(), legacy.New(legacy.Options{}), source(checker.URL))
	none(t, verdict, err)
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("an unknown issuer: %v", err)
	}
	verdict, err = ask(t.Context(), legacy.New(legacy.Options{Roots: trusted}),
		source(strings.Replace(checker.URL, "127.0.0.1", "localhost", 1)))
	none(t, verdict, err)
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("another host's certificate: %v", err)
	}
}

// What a name resolves to is judged too: here the address is the name.
func TestWhereCallsDoNotGo(t *testing.T) {
	for _, url := range []string{
		"https://169.254.169.254/latest", "https://[fe80::1]/", "https://0.0.0.0/", "https://224.0.0.1/",
		"http://192.0.2.1/", "ftp://127.0.0.1/", "",
	} {
		verdict, err := ask(t.Context(), legacy.New(legacy.Options{}), source(url))
		none(t, verdict, err)
		if ctx := errors.Is(err, context.DeadlineExceeded); ctx {
			t.Errorf("%s was called", url)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for url, rule := range map[string]string{
		"https://console.example.com/check?a=b":   "",
		"https://10.0.0.7:8443/":                  "",
		"https://[2001:db8::1]/":                  "",
		"http://localhost:8080/check":             "",
		"http://127.3.2.1/":                       "",
		"http://[::1]:1/":                         "",
		"http://[::ffff:127.0.0.1]/":              "",
		"http://console.example.com/":             "scheme",
		"http://localhost.example.com/":           "scheme",
		"http://10.0.0.7/":                        "scheme",
		"ftp://console.example.com/":              "scheme",
		"HTTPS://console.example.com/":            "",
		"//console.example.com/":                  "scheme",
		"console.example.com":                     "scheme",
		"https:console.example.com":               "url",
		"https://":                                "host",
		"https://:443/":                           "host",
		"https://ada:secret@console.example.com/": "user_info",
		"https://console.example.com@10.0.0.7/":   "user_info",
		"https://console.example.com/#a":          "fragment",
		"https://console.example.com/#":           "fragment",
		"https://console.example.com/\x00":        "url",
		"https://console.example.com:port/":       "url",
		"https://c/" + strings.Repeat("a", 512):   "max_length",
	} {
		f, _ := fault.As(legacy.CheckURL(url))
		switch {
		case rule == "" && f != nil:
			t.Errorf("%q: %v", url, f)
		case rule != "" && (f == nil || f.Meta["rule"] != rule || f.Meta["field"] != "checker_url"):
			t.Errorf("%q: %v, want rule %s", url, f, rule)
		case f != nil && strings.Contains(f.Error(), "console.example.com@"), f != nil && strings.Contains(f.Error(), "secret"):
			t.Errorf("%q is quoted: %v", url, f)
		}
	}
}

// FuzzReadAnswer: there is a verdict only for what a plain reading gives the same.
func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{`{"ok": true}`, `{"ok":false}`, `{"OK":true}`, `{"ok":true,"ok":true}`, `[true]`, `{"\u006fk":true}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		verdict, err := legacy.ReadAnswer(b)
		if (verdict == 0) != (err != nil) {
			t.Fatalf("%d, %v", verdict, err)
		}
		if verdict == 0 {
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(b, &plain); err != nil || len(plain) != 1 || plain["ok"] != (verdict == legacy.Accepted) {
			t.Errorf("%q: verdict %d, plain reading %v, %v", b, verdict, plain, err)
		}
	})
}

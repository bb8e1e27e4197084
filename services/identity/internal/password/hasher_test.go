package password_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
)

// cheap are the smallest parameters that two lanes may have.
var cheap = password.Params{Memory: 16, Passes: 1, Parallelism: 2}

func hasher(t testing.TB, c password.Config) *password.Hasher {
	t.Helper()
	h, err := password.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func hash(t testing.TB, h *password.Hasher, text string) string {
	t.Helper()
	encoded, err := h.Hash(t.Context(), secret.NewString(text))
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func verify(t testing.TB, h *password.Hasher, encoded, text string) password.Result {
	t.Helper()
	result, err := h.Verify(t.Context(), encoded, secret.NewString(text))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// broken says whether err is INVALID_FIELD with the field and the rule.
func broken(err error, field, rule string) bool {
	f, ok := fault.As(err)
	return ok && f.Reason == commonv1.Reason_INVALID_FIELD && f.Meta["field"] == field && f.Meta["rule"] == rule
}

func TestHash(t *testing.T) {
	h := hasher(t, password.Config{})
	encoded := hash(t, h, "correct horse")
	if !strings.HasPrefix(encoded, "$argon2id$v=19$m=19456,t=2,p=1$") || len(encoded) != 97 {
		t.Errorf("Hash = %s", encoded)
	}
	if again := hash(t, h, "correct horse"); again == encoded {
		t.Error("two hashes of one password are equal")
	}
	if err := h.Check(encoded); err != nil {
		t.Error(err)
	}
	if got := verify(t, h, encoded, "correct horse"); got != (password.Result{Match: true}) {
		t.Errorf("the password: %+v", got)
	}
	if got := verify(t, h, encoded, "correct horsf"); got != (password.Result{}) {
		t.Errorf("another password: %+v", got)
	}
	if got := verify(t, h, "", "correct horse"); got != (password.Result{}) {
		t.Errorf("no password: %+v", got)
	}
}

func TestRehash(t *testing.T) {
	old := hash(t, hasher(t, password.Config{Params: cheap}), "correct horse")
	for name, tc := range map[string]struct {
		params password.Params
		want   bool
	}{
		"as now":       {cheap, false},
		"more memory":  {password.Params{Memory: 17, Passes: 1, Parallelism: 2}, true},
		"more passes":  {password.Params{Memory: 16, Passes: 2, Parallelism: 2}, true},
		"fewer lanes":  {password.Params{Memory: 16, Passes: 1, Parallelism: 1}, true},
		"the defaults": {password.Params{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := hasher(t, password.Config{Params: tc.params})
			if got := verify(t, h, old, "correct horse"); got != (password.Result{Match: true, Rehash: tc.want}) {
				t.Errorf("Verify = %+v, want a match and rehash %t", got, tc.want)
			}
			if got := verify(t, h, old, "wrong"); got != (password.Result{}) {
				t.Errorf("a wrong password: %+v", got)
			}
		})
	}
}

// foreignHash was made by the system that it names.
type foreignHash struct {
	Source    string `json:"source"`
	Algorithm string `json:"algorithm"`
	Password  string `json:"password"`
	Encoded   string `json:"encoded"`
}

func foreignHashes(t testing.TB) []foreignHash {
	t.Helper()
	content, err := os.ReadFile("testdata/foreign.json")
	if err != nil {
		t.Fatal(err)
	}
	var hashes []foreignHash
	if err := json.Unmarshal(content, &hashes); err != nil {
		t.Fatal(err)
	}
	if len(hashes) < 40 {
		t.Fatalf("%d hashes; that cannot be all", len(hashes))
	}
	return hashes
}

func TestHashesOfOtherSystems(t *testing.T) {
	h := hasher(t, password.Config{})
	for _, tc := range foreignHashes(t) {
		t.Run(tc.Algorithm+" of "+tc.Source, func(t *testing.T) {
			if err := h.Check(tc.Encoded); err != nil {
				t.Fatalf("%s: %v", tc.Encoded, err)
			}
			rehash := !strings.HasPrefix(tc.Encoded, "$argon2id$v=19$m=19456,t=2,p=1$")
			if got := verify(t, h, tc.Encoded, tc.Password); got != (password.Result{Match: true, Rehash: rehash}) {
				t.Errorf("%s: %+v", tc.Encoded, got)
			}
			if got := verify(t, h, tc.Encoded, "x"+tc.Password); got != (password.Result{}) {
				t.Errorf("%s matches another password: %+v", tc.Encoded, got)
			}
		})
	}
}

func TestBcryptComparesTheFirst72Bytes(t *testing.T) {
	h := hasher(t, password.Config{Params: cheap})
	first, tried := strings.Repeat("0123456789", 9), 0
	for _, stored := range foreignHashes(t) {
		if stored.Password != first {
			continue
		}
		tried++
		for candidate, want := range map[string]bool{
			first: true, first[:72]: true, first[:72] + "something else": true, first[:71]: false, first[:71] + "x": false,
		} {
			if got := verify(t, h, stored.Encoded, candidate); got.Match != want {
				t.Errorf("%d bytes: %+v, want %t", len(candidate), got, want)
			}
		}
	}
	if tried != 2 {
		t.Errorf("tried %d hashes of long passwords", tried)
	}
}

func TestNormalization(t *testing.T) {
	h := hasher(t, password.Config{Params: cheap})
	for name, tc := range map[string]struct {
		set, typed string
		want       bool
	}{
		"decomposed":            {"p\u00e4ssword caf\u00e9", "pa\u0308ssword cafe\u0301", true},
		"composed":              {"pa\u0308ssword", "p\u00e4ssword", true},
		"ideographic space":     {"\u5bc6\u7801\u3000one", "\u5bc6\u7801 one", true},
		"no-break space":        {"one two three", "one\u00a0two three", true},
		"case counts":           {"Password", "password", false},
		"width counts":          {"password", "\uff50assword", false},
		"space counts":          {"password ", "password", false},
		"compatibility differs": {"\ufb01sh and more", "fish and more", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verify(t, h, hash(t, h, tc.set), tc.typed); got.Match != tc.want {
				t.Errorf("%q against %q: %t, want %t", tc.typed, tc.set, got.Match, tc.want)
			}
		})
	}
}

// Other systems hash what is typed.
func TestForeignHashOfTypedText(t *testing.T) {
	h := hasher(t, password.Config{})
	for name, tc := range map[string]struct {
		typed string
		want  password.Result
	}{
		"decomposed":               {"cafe\u0301 au lait", password.Result{Match: true, Rehash: true}},
		"a tab cannot be stored":   {"cafe\tau lait", password.Result{Match: true}},
		"an unassigned code point": {"cafe\U000e0fff au lait", password.Result{Match: true}},
	} {
		t.Run(name, func(t *testing.T) {
			encoded := made(tc.typed)
			if got := verify(t, h, encoded, tc.typed); got != tc.want {
				t.Errorf("Verify = %+v, want %+v", got, tc.want)
			}
		})
	}
}

// made is an argon2id hash by a system that does not normalize.
func made(text string) string {
	salt := []byte("0123456789abcdef")
	return "$argon2id$v=19$m=16,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + b64(argon2.IDKey([]byte(text), salt, 1, 16, 1, 32))
}

func TestCandidatesThatAreRefused(t *testing.T) {
	h := hasher(t, password.Config{Params: cheap})
	encoded := hash(t, h, "correct horse")
	for name, tc := range map[string]struct {
		candidate, rule string
		hashOnly        bool
	}{
		"empty":          {"", "min_length", false},
		"too long":       {strings.Repeat("a", 1025), "max_length", false},
		"invalid UTF-8":  {"correct\xff", "utf8", false},
		"a zero byte":    {"correct horse\x00", "null", false},
		"a control":      {"correct\x07horse", "characters", true},
		"unassigned":     {"correct\U000e0fff", "characters", true},
		"longest":        {strings.Repeat("a", 1024), "", false},
		"only spaces":    {"      ", "", false},
		"an old-ish one": {"correct horse \u2603", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			refused := func(what string, err error, always bool) {
				t.Helper()
				if want := tc.rule != "" && always; want != (err != nil) || want && !broken(err, "password", tc.rule) {
					t.Errorf("%s: %v, want rule %q", what, err, tc.rule)
				}
			}
			_, err := h.Hash(t.Context(), secret.NewString(tc.candidate))
			refused("Hash", err, true)
			_, err = h.Verify(t.Context(), encoded, secret.NewString(tc.candidate))
			refused("Verify", err, !tc.hashOnly)
			refused("Dummy", h.Dummy(t.Context(), secret.NewString(tc.candidate)), !tc.hashOnly)
		})
	}
}

func TestStoredHashThatCannotBeRead(t *testing.T) {
	h := hasher(t, password.Config{Params: cheap})
	_, err := h.Verify(t.Context(), "$1$abc$def", secret.NewString("correct horse"))
	if f, ok := fault.As(err); !ok || f.Kind != fault.Internal || !broken(f.Unwrap(), "password_hash", "algorithm") {
		t.Errorf("Verify = %v", err)
	}
}

func TestEndOfContext(t *testing.T) {
	h := hasher(t, password.Config{Params: cheap})
	encoded := hash(t, h, "correct horse")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, secret.NewString("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Hash = %v", err)
	}
	if got, err := h.Verify(ctx, encoded, secret.NewString("correct horse")); !errors.Is(err, context.Canceled) || got.Match {
		t.Errorf("Verify = %+v, %v", got, err)
	}
	if err := h.Dummy(ctx, secret.NewString("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Dummy = %v", err)
	}
}

// What argon2 allocates is the work that it does.
func TestDummyDoesTheWorkOfVerify(t *testing.T) {
	h := hasher(t, password.Config{})
	encoded := hash(t, h, "correct horse")
	work := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) >> 20
	}
	for candidate, want := range map[string]uint64{"wrong horse": 19, "wrong caf\u00e9": 19, "wrong cafe\u0301": 38} {
		s := secret.NewString(candidate)
		verified := work(func() { _, _ = h.Verify(t.Context(), encoded, s) })
		absent := work(func() { _, _ = h.Verify(t.Context(), "", s) })
		dummy := work(func() { _ = h.Dummy(t.Context(), s) })
		if verified != want || absent != want || dummy != want {
			t.Errorf("%+q: Verify %d MiB, without a password %d MiB, Dummy %d MiB; want %d", candidate, verified, absent, dummy, want)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		given password.Config
		field string
		rule  string
	}{
		"defaults":           {},
		"no waiters":         {given: password.Config{Waiters: -1}},
		"memory per lane":    {password.Config{Params: password.Params{Memory: 15, Parallelism: 2}}, "memory", "min_memory"},
		"lanes":              {password.Config{Params: password.Params{Parallelism: 65}}, "parallelism", "max_parallelism"},
		"memory":             {password.Config{Params: password.Params{Memory: 256<<10 + 1}}, "memory", "max_memory"},
		"work":               {password.Config{Params: password.Params{Memory: 256 << 10, Passes: 5}}, "passes", "max_work"},
		"budget":             {password.Config{Budget: 255 << 20}, "budget", "min_budget"},
		"negative budget":    {password.Config{Budget: -1}, "budget", "min_budget"},
		"limit of memory":    {password.Config{Limits: password.Limits{Memory: 1}}, "limits.memory", "range"},
		"limit of work":      {password.Config{Limits: password.Limits{Work: 1}}, "limits.work", "range"},
		"limit of rounds":    {password.Config{Limits: password.Limits{Iterations: -1}}, "limits.iterations", "range"},
		"limit of bcrypt":    {password.Config{Limits: password.Limits{BcryptCost: 31}}, "limits.bcrypt_cost", "range"},
		"larger on purpose":  {given: password.Config{Limits: password.Limits{Memory: 1 << 30}, Budget: 1 << 30}},
		"larger than budget": {password.Config{Limits: password.Limits{Memory: 1 << 30}}, "budget", "min_budget"},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := password.New(tc.given)
			if tc.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if h != nil || !broken(err, tc.field, tc.rule) {
				t.Errorf("New = %v, want %s %s", err, tc.field, tc.rule)
			}
		})
	}
}

func BenchmarkHash(b *testing.B) {
	b.Run("hasher", func(b *testing.B) {
		h := hasher(b, password.Config{})
		s := secret.NewString("correct horse battery staple")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.Hash(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		salt := []byte("0123456789abcdef")
		b.ReportAllocs()
		for b.Loop() {
			argon2.IDKey([]byte("correct horse battery staple"), salt, 2, 19456, 1, 32)
		}
	})
}

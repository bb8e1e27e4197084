package otp_test

import (
	"encoding/base32"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	library "github.com/pquerna/otp"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/otp"
)

func restore(t testing.TB, ascii string, s otp.Settings) otp.Key {
	t.Helper()
	k, err := otp.RestoreKey(secret.NewString(base32.StdEncoding.EncodeToString([]byte(ascii))), s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func broken(err error, field, rule string) bool {
	f, ok := fault.As(err)
	return ok && f.Reason == commonv1.Reason_INVALID_FIELD && f.Meta["field"] == field && f.Meta["rule"] == rule
}

const rfcSecret = "12345678901234567890"

// The codes of RFC 4226, appendix D: of counters 0 to 9.
var rfcCodes = []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"}

func TestPublishedCodes(t *testing.T) {
	folder := os.Getenv("MERIDIAN_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(folder, "vectors", "rfc", "otp.json"))
	if os.IsNotExist(err) {
		t.Logf("NOT TESTED: the vectors otp.json are not on this machine (set MERIDIAN_SHARED): %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		TOTP []struct {
			Time   int64  `json:"time"`
			Alg    string `json:"alg"`
			Secret string `json:"secret_ascii"`
			Period int    `json:"period"`
			Digits int    `json:"digits"`
			Code   string `json:"code"`
		} `json:"totp"`
		HOTP []struct {
			Counter int64  `json:"counter"`
			Secret  string `json:"secret_ascii"`
			Digits  int    `json:"digits"`
			Code    string `json:"code"`
		} `json:"hotp"`
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.TOTP) < 18 || len(vectors.HOTP) < 10 {
		t.Fatalf("%d and %d vectors; that cannot be all", len(vectors.TOTP), len(vectors.HOTP))
	}
	algorithm := map[string]otp.Algorithm{"sha1": otp.SHA1, "sha256": otp.SHA256, "sha512": otp.SHA512}
	for _, v := range vectors.TOTP {
		k := restore(t, v.Secret, otp.Settings{Algorithm: algorithm[v.Alg], Digits: v.Digits, Period: v.Period})
		if step, ok := k.Verify(secret.NewString(v.Code), time.Unix(v.Time, 0), 0); !ok || step != v.Time/30 {
			t.Errorf("TOTP of %s at %d: %d, %t", v.Alg, v.Time, step, ok)
		}
	}
	for _, v := range vectors.HOTP {
		k := restore(t, v.Secret, otp.Settings{Digits: v.Digits})
		if after, ok := k.VerifyCounter(secret.NewString(v.Code), v.Counter, 0); !ok || after != v.Counter+1 {
			t.Errorf("HOTP of %d: %d, %t", v.Counter, after, ok)
		}
	}
}

// O23 of the attacks: a code is good once, and around its time. That of step 5 is shown
// from 150 s to 179 s.
func TestVerify(t *testing.T) {
	for name, tc := range map[string]struct {
		settings otp.Settings
		code     string
		at, last int64
		step     int64
	}{
		"first second":                  {code: rfcCodes[5], at: 150, step: 5},
		"last second":                   {code: rfcCodes[5], at: 179, step: 5},
		"one period late":               {code: rfcCodes[5], at: 209, step: 5},
		"two periods late":              {code: rfcCodes[5], at: 210},
		"one period early":              {code: rfcCodes[5], at: 120, step: 5},
		"two periods early":             {code: rfcCodes[5], at: 119},
		"late, more drift":              {settings: otp.Settings{Drift: 2}, code: rfcCodes[5], at: 210, step: 5},
		"later, more drift":             {settings: otp.Settings{Drift: 2}, code: rfcCodes[5], at: 240},
		"no drift":                      {settings: otp.Settings{Drift: -1}, code: rfcCodes[5], at: 179, step: 5},
		"late, no drift":                {settings: otp.Settings{Drift: -1}, code: rfcCodes[5], at: 180},
		"early, no drift":               {settings: otp.Settings{Drift: -1}, code: rfcCodes[5], at: 149},
		"after the one before":          {code: rfcCodes[5], at: 150, last: 4, step: 5},
		"again":                         {code: rfcCodes[5], at: 150, last: 5},
		"again in the next period":      {code: rfcCodes[5], at: 180, last: 5},
		"older than the last":           {code: rfcCodes[4], at: 150, last: 5},
		"next one early, then this":     {code: rfcCodes[5], at: 150, last: 6},
		"clock went back":               {code: rfcCodes[5], at: 150, last: 1000},
		"clock came back to last":       {code: rfcCodes[5], at: 150, last: 5},
		"spaces":                        {code: " 254 676 ", at: 150, step: 5},
		"a digit less":                  {code: rfcCodes[5][:5], at: 150},
		"a digit more":                  {code: rfcCodes[5] + "0", at: 150},
		"another code":                  {code: "254677", at: 150},
		"empty":                         {at: 150},
		"long":                          {code: strings.Repeat("2", 1<<20), at: 150},
		"letters":                       {code: "abcdef", at: 150},
		"digits of another script":      {code: "٢٥٤٦٧٦", at: 150},
		"eight digits asked for":        {settings: otp.Settings{Digits: 8}, code: rfcCodes[5], at: 150},
		"the epoch's code, none before": {code: rfcCodes[0], at: 0},
		"before the epoch":              {code: rfcCodes[0], at: -1},
		"another period":                {settings: otp.Settings{Period: 60}, code: rfcCodes[5], at: 300, step: 5},
	} {
		t.Run(name, func(t *testing.T) {
			k := restore(t, rfcSecret, tc.settings)
			step, ok := k.Verify(secret.NewString(tc.code), time.Unix(tc.at, 0), tc.last)
			if step != tc.step || ok != (tc.step != 0) {
				t.Errorf("Verify = %d, %t; want %d", step, ok, tc.step)
			}
		})
	}
}

// Laws: what is let in comes after last and lies within the drift, and is not let
// in again, at any time.
func FuzzVerify(f *testing.F) {
	f.Add("254676", int64(150), int64(4))
	f.Add("755224", int64(1<<62), int64(-1))
	f.Add("755224", int64(-1<<63), int64(1<<62))
	f.Fuzz(func(t *testing.T, code string, at, last int64) {
		k := restore(t, rfcSecret, otp.Settings{Drift: 2})
		step, ok := k.Verify(secret.NewString(code), time.Unix(at, 0), last)
		if !ok {
			return
		}
		if step <= last || step < 0 || step < at/30-2 || step > at/30+2 {
			t.Errorf("let in step %d at %d after %d", step, at, last)
		}
		for later := -3; later <= 3; later++ {
			if again, ok := k.Verify(secret.NewString(code), time.Unix(at+int64(30*later), 0), step); ok && again <= step {
				t.Errorf("let in %d after %d", again, step)
			}
		}
	})
}

func TestVerifyCounter(t *testing.T) {
	for name, tc := range map[string]struct {
		code  string
		next  int64
		ahead int
		after int64
	}{
		"first":            {rfcCodes[0], 0, 0, 1},
		"next":             {rfcCodes[3], 3, 0, 4},
		"again":            {rfcCodes[3], 4, 5, 0},
		"ahead":            {rfcCodes[8], 3, 5, 9},
		"too far ahead":    {rfcCodes[9], 3, 5, 0},
		"negative counter": {rfcCodes[0], -1, 5, 0},
		"negative ahead":   {rfcCodes[3], 3, -1, 4},
		"the last counter": {rfcCodes[0], 1<<63 - 1, 5, 0},
		"ahead is bounded": {"000000", 10, 1 << 40, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := restore(t, rfcSecret, otp.Settings{})
			if after, ok := k.VerifyCounter(secret.NewString(tc.code), tc.next, tc.ahead); after != tc.after || ok != (tc.after != 0) {
				t.Errorf("VerifyCounter = %d, %t; want %d", after, ok, tc.after)
			}
		})
	}
}

func TestZeroKeyLetsNothingIn(t *testing.T) {
	var k otp.Key
	for _, code := range []string{"", "000000", rfcCodes[0]} {
		if _, ok := k.Verify(secret.NewString(code), time.Unix(1e9, 0), 0); ok {
			t.Errorf("Verify lets %q in", code)
		}
		if _, ok := k.VerifyCounter(secret.NewString(code), 0, 9); ok {
			t.Errorf("VerifyCounter lets %q in", code)
		}
	}
}

func TestNewKey(t *testing.T) {
	one, err := otp.NewKey(otp.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := otp.NewKey(otp.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Secret().Reveal() == two.Secret().Reveal() || len(one.Secret().Reveal()) != 32 {
		t.Error("want different secrets of 160 bits")
	}
	if got := one.Settings(); got != (otp.Settings{Digits: 6, Period: 30, Drift: 1}) {
		t.Errorf("settings %+v", got)
	}
	again, err := otp.RestoreKey(one.Secret(), one.Settings())
	if err != nil || again != one {
		t.Errorf("RestoreKey gives another key: %v", err)
	}
}

func TestRestoreKey(t *testing.T) {
	const good = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for name, tc := range map[string]struct {
		text string
		rule string
	}{
		"as stored":        {good, ""},
		"as people type":   {"gezd gnbv gy3t qojq gezd-gnbv gy3t qojq", ""},
		"padded":           {good[:26] + "======", ""},
		"of 10 bytes":      {good[:16], ""},
		"of 9 bytes":       {strings.Repeat("A", 15), "length"},
		"empty":            {"", "length"},
		"longest":          {base32.StdEncoding.EncodeToString(make([]byte, 64)), ""},
		"longer":           {base32.StdEncoding.EncodeToString(make([]byte, 65)), "length"},
		"much longer":      {strings.Repeat("A", 1<<20), "length"},
		"another alphabet": {"0189" + good, "base32"},
		"line break":       {good[:16] + "\n" + good[16:], "base32"},
		"bits left over":   {good[:16] + "AB", "base32"},
		"padding inside":   {good[:8] + "=" + good[8:], "base32"},
		"dotless i":        {"ı" + good, "base32"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := otp.RestoreKey(secret.NewString(tc.text), otp.Settings{})
			if tc.rule == "" && err != nil || tc.rule != "" && (!broken(err, "secret", tc.rule) || k != (otp.Key{})) {
				t.Errorf("RestoreKey = %v, want rule %q", err, tc.rule)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		given       otp.Settings
		field, rule string
	}{
		"zero":      {},
		"all":       {given: otp.Settings{Algorithm: otp.SHA512, Digits: 8, Period: 300, Drift: 2}},
		"algorithm": {otp.Settings{Algorithm: 3}, "algorithm", "defined"},
		"7 digits":  {otp.Settings{Digits: 7}, "digits", "defined"},
		"digits":    {otp.Settings{Digits: -6}, "digits", "defined"},
		"short":     {otp.Settings{Period: 14}, "period", "range"},
		"long":      {otp.Settings{Period: 301}, "period", "range"},
		"backward":  {otp.Settings{Period: -30}, "period", "range"},
		"drift":     {otp.Settings{Drift: 3}, "drift", "range"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := otp.NewKey(tc.given)
			if tc.field == "" && err != nil || tc.field != "" && !broken(err, tc.field, tc.rule) {
				t.Errorf("NewKey = %v, want %s %s", err, tc.field, tc.rule)
			}
			if _, restored := otp.RestoreKey(secret.String{}, tc.given); tc.field != "" && !broken(restored, tc.field, tc.rule) {
				t.Errorf("RestoreKey = %v, want %s %s", restored, tc.field, tc.rule)
			}
		})
	}
}

// The library reads back what apps read.
func TestURI(t *testing.T) {
	for name, tc := range map[string]struct{ issuer, account string }{
		"plain":    {"Meridian", "anna@customer.example"},
		"spaces":   {"Customer & Sons", "Anna Meier"},
		"hostile":  {"a/b?secret=AAAA&issuer=evil#x", "c/d?e=f&digits=8%20+"},
		"unicode":  {"K\u00fcche \u5bc6\u7801", "möller@münchen.example"},
		"percents": {"100%", "50%25"},
	} {
		t.Run(name, func(t *testing.T) {
			k := restore(t, rfcSecret, otp.Settings{Algorithm: otp.SHA256, Digits: 8, Period: 60})
			uri, err := k.URI(tc.issuer, tc.account)
			if err != nil {
				t.Fatal(err)
			}
			read, err := library.NewKeyFromURL(uri.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if read.Type() != "totp" || read.Issuer() != tc.issuer || read.AccountName() != tc.account ||
				read.Secret() != k.Secret().Reveal() || read.Digits() != 8 || read.Period() != 60 || read.Algorithm() != library.AlgorithmSHA256 {
				t.Errorf("%s is read as %s of %s", uri.Reveal(), read.AccountName(), read.Issuer())
			}
			if strings.Contains(uri.Reveal(), "+") {
				t.Error("some apps show a plus sign")
			}
			u, err := url.Parse(uri.Reveal())
			if err != nil || len(u.Query()) != 5 || u.Fragment != "" {
				t.Errorf("%s has other parameters: %v", uri.Reveal(), err)
			}
		})
	}
	k := restore(t, rfcSecret, otp.Settings{})
	for name, tc := range map[string]struct{ issuer, account, field, rule string }{
		"no issuer":       {"", "a", "issuer", "required"},
		"no account":      {"a", "", "account", "required"},
		"colon in issuer": {"a:b", "c", "issuer", "colon"},
		"colon":           {"a", "b:c", "account", "colon"},
		"long":            {"a", strings.Repeat("b", 256), "account", "max_length"},
		"invalid UTF-8":   {"\xff", "b", "issuer", "utf8"},
	} {
		t.Run(name, func(t *testing.T) {
			if uri, err := k.URI(tc.issuer, tc.account); !broken(err, tc.field, tc.rule) || !uri.IsZero() {
				t.Errorf("URI = %v, want %s %s", err, tc.field, tc.rule)
			}
		})
	}
}

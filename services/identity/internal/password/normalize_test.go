package password //nolint:testpackage // normalization is not exported

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Laws of normalization: what is normal stays as it is, and is a candidate.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"correct horse", "cafe\u0301\u3000one", "\u1e9b\u0323", "a\u0300\u0301\u0302\u0303", "\u0001", "\U0001f600", "\ud55c\uae00", "\u1112\u1161\u11ab", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := read(secret.NewString(s))
		if err != nil {
			if s != "" && len(s) <= maxBytes && utf8.ValidString(s) && !strings.Contains(s, "\x00") {
				t.Errorf("read(%q) = %v", s, err)
			}
			return
		}
		if c.typed != s || c.normal == "" || !utf8.ValidString(c.normal) || len(c.texts()) == 0 {
			t.Errorf("read(%q) = %+v", s, c)
		}
		if c.unstorable == nil {
			if again, ok := opaque(c.normal); !ok || again != c.normal {
				t.Errorf("%q is normal, and normalizes to %q", c.normal, again)
			}
		}
	})
}

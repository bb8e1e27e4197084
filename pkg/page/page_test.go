package page_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/page"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestCursorRoundTrip(t *testing.T) {
	for _, after := range []string{"", "acme", "table:ördner#reader@user:1"} {
		got, err := page.After("list organizations", page.Cursor("list organizations", after))
		if err != nil || got != after {
			t.Errorf("After(Cursor(%q)) = %q, %v", after, got, err)
		}
	}
}

func TestAfterRefuses(t *testing.T) {
	good := page.Cursor("list", "acme")
	tampered := []byte(good)
	tampered[len(tampered)-1] ^= 1
	for name, cursor := range map[string]string{
		"other query": page.Cursor("another list", "acme"),
		"tampered":    string(tampered),
		"cut":         good[:len(good)-2],
		"not base64":  "%%%",
		"a line end":  good[:4] + "\r\n" + good[4:],
	} {
		t.Run(name, func(t *testing.T) {
			if after, err := page.After("list", cursor); !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
				t.Errorf("After = %q, %v; want INVALID_FIELD", after, err)
			}
		})
	}
}

func FuzzAfter(f *testing.F) {
	f.Add(page.Cursor("list", "acme"))
	f.Fuzz(func(t *testing.T, cursor string) {
		after, err := page.After("list", cursor)
		if err == nil && cursor != "" && page.Cursor("list", after) != cursor {
			t.Errorf("two cursors for one position: %q", cursor)
		}
	})
}

package id_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/meridian-iam/meridian/pkg/id"
)

func TestFormat(t *testing.T) {
	for name, tc := range map[string]struct {
		uuid string
		want string
	}{
		"zero": {"00000000-0000-0000-0000-000000000000", "org_00000000000000000000000000"},
		"ones": {"ffffffff-ffff-ffff-ffff-ffffffffffff", "org_7zzzzzzzzzzzzzzzzzzzzzzzzz"},
		// The example of the ULID specification, as a UUID.
		"ulid": {"01563e3a-b5d3-d676-4c61-efb99302bd5b", "org_01arz3ndektsv4rrffq69g5fav"},
	} {
		t.Run(name, func(t *testing.T) {
			u := uuid.MustParse(tc.uuid)
			got := id.Format(id.Organization, u)
			if name == "ulid" {
				u2, err := id.Parse(id.Organization, tc.want)
				if err != nil {
					t.Fatal(err)
				}
				if id.Format(id.Organization, u2) != tc.want {
					t.Fatalf("round trip of %s gave %s", tc.want, id.Format(id.Organization, u2))
				}
				return
			}
			if got != tc.want {
				t.Errorf("Format = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good := id.New(id.User)
	for name, s := range map[string]string{
		"empty":       "",
		"other kind":  strings.Replace(good, "usr_", "org_", 1),
		"upper case":  strings.ToUpper(good),
		"short":       good[:len(good)-1],
		"long":        good + "0",
		"overflow":    "usr_8" + good[5:],
		"letter u":    good[:len(good)-1] + "u",
		"dot":         good[:len(good)-1] + ".",
		"no prefix":   good[4:],
		"white space": " " + good,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := id.Parse(id.User, s); !errors.Is(err, id.ErrMalformed) {
				t.Errorf("Parse(%q) = %v, want ErrMalformed", s, err)
			}
		})
	}
}

func TestNewSortsByTime(t *testing.T) {
	previous := ""
	for range 1000 {
		next := id.New(id.Organization)
		if next <= previous {
			t.Fatalf("%s is not after %s", next, previous)
		}
		previous = next
	}
}

func FuzzParse(f *testing.F) {
	f.Add(id.New(id.User))
	f.Add("usr_")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := id.Parse(id.User, s)
		if err != nil {
			return
		}
		if got := id.Format(id.User, u); got != s {
			t.Errorf("two texts for one id: %q and %q", s, got)
		}
	})
}

package revision_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
)

func TestTokenRoundTrip(t *testing.T) {
	org, user := id.New(id.Organization), id.New(id.User)
	for name, tc := range map[string]struct {
		in, want []revision.Revision
	}{
		"one":     {[]revision.Revision{{org, 7}}, []revision.Revision{{org, 7}}},
		"ordered": {[]revision.Revision{{user, 2}, {"platform", 1}, {org, 3}}, []revision.Revision{{org, 3}, {"platform", 1}, {user, 2}}},
		"merged":  {[]revision.Revision{{org, 3}, {org, 9}, {org, 4}}, []revision.Revision{{org, 9}}},
		"zero":    {[]revision.Revision{{org, 0}}, []revision.Revision{{org, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := revision.Token(tc.in...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := revision.Parse(token)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("revisions differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongestTokenFits(t *testing.T) {
	var in []revision.Revision
	for range revision.MaxLogs {
		in = append(in, revision.Revision{Log: id.New(id.User), Sequence: math.MaxUint64 >> 22})
	}
	token, err := revision.Token(in...)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) > revision.MaxLength {
		t.Errorf("token of %d logs has %d bytes, limit %d", revision.MaxLogs, len(token), revision.MaxLength)
	}
}

func TestTokenRefuses(t *testing.T) {
	var five []revision.Revision
	for range 5 {
		five = append(five, revision.Revision{Log: id.New(id.User), Sequence: 1})
	}
	for name, in := range map[string][]revision.Revision{
		"none":      nil,
		"too many":  five,
		"not a log": {{Log: "acme", Sequence: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if token, err := revision.Token(in...); err == nil {
				t.Errorf("Token = %q, want an error", token)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range [][]revision.Revision{
		{{Log: id.Platform, Sequence: 1}},
		{{Log: id.New(id.Organization), Sequence: 300}, {Log: id.New(id.User), Sequence: 1}},
	} {
		token, err := revision.Token(in...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add("AQ")
	f.Add("AQAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		revisions, err := revision.Parse(s)
		if err != nil {
			if !errors.Is(err, revision.ErrMalformed) {
				t.Errorf("Parse(%q): %v is not ErrMalformed", s, err)
			}
			return
		}
		again, err := revision.Token(revisions...)
		if err != nil || again != s {
			t.Errorf("two tokens for one set of revisions: %q and %q (%v)", s, again, err)
		}
	})
}

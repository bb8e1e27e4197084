package census_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/census"
)

// Names are of two words of ASCII letters: what is copied into the tables is what
// a call would have put there.
func TestPeople(t *testing.T) {
	const people = 20_000
	form := regexp.MustCompile(`^[A-Z][a-z]+ [A-Z][a-z]+$`)
	addresses, surnames, common := map[string]bool{}, map[string]bool{}, 0
	for n := range people {
		p := census.PersonOf(n)
		if !form.MatchString(p.Name) {
			t.Fatalf("the name is %q", p.Name)
		}
		words := p.Words()
		if len(words) != 2 || strings.Join(words, " ") != strings.ToLower(p.Name) {
			t.Fatalf("the words of %q are %q", p.Name, words)
		}
		if words[0] == census.Common {
			common++
		}
		for _, w := range words {
			if strings.HasPrefix(w, census.Nobody) || strings.HasPrefix(w, "xylo") {
				t.Fatalf("%q has a word that no name may have", p.Name)
			}
		}
		if strings.HasPrefix(words[1], census.Common) {
			t.Fatalf("%q has the common word twice", p.Name)
		}
		addresses[p.Email], surnames[words[1]] = true, true
	}
	if len(addresses) != people {
		t.Errorf("%d people have %d addresses", people, len(addresses))
	}
	if common != people/8 {
		t.Errorf("%d of %d have the common word", common, people)
	}
	if len(surnames) < 4000 || len(surnames) > 4096 {
		t.Errorf("there are %d surnames", len(surnames))
	}
}

func TestSlug(t *testing.T) {
	for n, want := range map[int]string{0: "census-0000000", 99_999: "census-0099999", 9_999_999: "census-9999999"} {
		if got := census.Slug(n); got != want {
			t.Errorf("slug %d is %q, want %q", n, got, want)
		}
	}
}

func TestHomes(t *testing.T) {
	for _, test := range []struct {
		user, organizations int
		want                []int
	}{
		{0, 1, []int{0}},
		{1, 10, []int{1}},
		{13, 10, []int{3}},
		{20, 10, []int{0, 1}},
		{20, 21, []int{20, 0}},
	} {
		if got := census.Homes(test.user, test.organizations); !slices.Equal(got, test.want) {
			t.Errorf("user %d of %d organizations is in %v, want %v", test.user, test.organizations, got, test.want)
		}
	}
}

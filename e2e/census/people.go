package census

import (
	"fmt"
	"strings"
)

// Common is a word of the name of every eighth made-up person, so that also the
// smallest size has more of them than one page of a search looks at. Nobody is a
// word that no name has.
const (
	Common = "anna"
	Nobody = "zz"
)

// Person is a made-up user.
type Person struct{ Email, Name string }

var (
	given = []string{
		"Ada", "Bela", "Chloe", "Dario", "Edda", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaia", "Luca", "Maren", "Nils", "Olga", "Pavel",
		"Quentin", "Rosa", "Sven", "Tilda", "Umar", "Vera", "Wim", "Xenia", "Yusuf", "Lena", "Marta", "Oskar", "Petra", "Ruben", "Selma",
	}
	syllables = []string{"ba", "den", "fro", "gar", "hel", "ki", "lor", "men", "nor", "pe", "ros", "sta", "tur", "ven", "wal", "yor"}
)

// PersonOf is the made-up person with a number, always the same one. The surname is
// one of 4,096.
func PersonOf(n int) Person {
	first := "Anna"
	if n%8 != 0 {
		first = given[n%len(given)]
	}
	mixed := uint64(n) * 0x9E3779B97F4A7C15 // neighbors get different names
	var last strings.Builder
	for shift := 52; shift < 64; shift += 4 {
		last.WriteString(syllables[mixed>>shift&15])
	}
	surname := last.String()
	return Person{
		Email: fmt.Sprintf("%s.%s.%d@census.example", strings.ToLower(first), surname, n),
		Name:  first + " " + strings.ToUpper(surname[:1]) + surname[1:],
	}
}

// Words are what a person is found by. Made-up names have nothing but ASCII
// letters, so folding them is this simple.
func (p Person) Words() []string { return strings.Fields(strings.ToLower(p.Name)) }

// Slug is that of the made-up organization with a number. Its first 13 letters are
// those of ten organizations.
func Slug(n int) string { return fmt.Sprintf("census-%07d", n) }

// Homes are the organizations of a made-up user, by number among so many: one, and
// for every 20th user two.
func Homes(user, organizations int) []int {
	home := user % organizations
	if user%20 == 0 && organizations > 1 {
		return []int{home, (home + 1) % organizations}
	}
	return []int{home}
}

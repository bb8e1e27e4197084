package demo

// Organization is a demo organization. The first one, of Slug, has the demo
// relationships, too.
type Organization struct{ Slug, Name string }

// Organizations are the demo organizations.
func Organizations() []Organization {
	return []Organization{{Slug, "Acme (demo)"}, {"globex", "Globex Corporation (demo)"}, {"initech", "Initech (demo)"}}
}

// Person is a demo user.
type Person struct {
	Email, Name, Locale string
	// In are the slugs of the user's organizations; Admin is one of them that the
	// user administers, or empty.
	In    []string
	Admin string
}

// People are the demo users. Dana works for all three organizations.
func People() []Person {
	return []Person{
		{Email: "olivia@acme.example", Name: "Olivia Okafor", In: []string{Slug}, Admin: Slug},
		{Email: "anna@acme.example", Name: "Anna Arendt", Locale: "de", In: []string{Slug}},
		{Email: "ada@acme.example", Name: "Ada Quispe", In: []string{Slug}},
		{Email: "ed@acme.example", Name: "Ed Lindqvist", In: []string{Slug}},
		{Email: "dana@acme.example", Name: "Dana Haddad", In: []string{Slug, "globex", "initech"}},
		{Email: "gus@globex.example", Name: "Gus Vogel", In: []string{"globex"}, Admin: "globex"},
		{Email: "mei@globex.example", Name: "Mei Tanaka", In: []string{"globex"}},
		{Email: "ines@initech.example", Name: "Inés Castro", Locale: "es", In: []string{"initech"}, Admin: "initech"},
		{Email: "tariq@initech.example", Name: "Tariq Khan", In: []string{"initech"}},
	}
}

// Group is a group of the first demo organization.
type Group struct {
	Name, Description string
	// People by email address, and names of groups before it.
	People, Groups []string
	// ServiceAccounts by name.
	ServiceAccounts []string
}

// ServiceAccount is the service account of the first demo organization.
const ServiceAccount = "deployer"

// Readers is the group that may read production, as the group analysts of the demo
// relationships may.
const Readers = "Analysts"

// Groups are those of the first demo organization: who is in Data is in
// Engineering.
func Groups() []Group {
	return []Group{
		{Name: Readers, Description: "Read what production holds", People: []string{"anna@acme.example"}},
		{Name: "Data", Description: "Pipelines and tables", People: []string{"dana@acme.example"}},
		{
			Name: "Engineering", Description: "Who builds it", People: []string{"ed@acme.example", "ada@acme.example"},
			Groups: []string{"Data"}, ServiceAccounts: []string{ServiceAccount},
		},
	}
}

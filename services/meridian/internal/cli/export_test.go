package cli

import (
	"io"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// ZoneLine is the record that proves a domain.
func ZoneLine(d *identityv1.Domain) string { return zoneLine(d) }

// ReadSecret reads a password.
func ReadSecret(from io.Reader) (string, error) { return readSecret(from) }

// ChooseSource reads the word for a source of memberships.
func ChooseSource(word string) (identityv1.MembershipSource, error) {
	return choose[identityv1.MembershipSource]("--source", word)
}

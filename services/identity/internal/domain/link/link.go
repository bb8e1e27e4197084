// Package link decides who users are at the sources that they were imported from.
//
// A link is for good: whoever was imported is not imported again, not even after an
// erasure. It is migrated once the user has a password here; from then on the source
// is not asked for the password any more, whatever becomes of it.
package link

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// MaxOfUser is how many links a user may have.
const MaxOfUser = 20

// Link is who a user is at one source.
type Link struct {
	Source string
	// ExternalID is the user's id there, "" when the user is erased.
	ExternalID string
	Migrated   bool
}

// State is the links of one user, in the order in which they were made.
type State struct {
	Links []Link
	// password is the credential that is the user's password, or "".
	password string
}

// Apply folds one event of the user's log; events about other things change nothing.
// Without its personal data, a link has no id.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.UserLinked:
		s.Links = append(s.Links, Link{Source: e.GetSource(), ExternalID: e.GetExternalId(), Migrated: s.password != ""})
	case *eventv1.PasswordSet:
		s.password = e.GetCredential()
		for i := range s.Links {
			s.Links[i].Migrated = true
		}
	case *eventv1.CredentialDeleted:
		if s.password == e.GetCredential() {
			s.password = ""
		}
	case *eventv1.UserErased:
		s.password = ""
		for i := range s.Links {
			s.Links[i].ExternalID = ""
		}
	}
}

// Join says that a user of a source is this user.
type Join struct {
	User       string
	Source     string
	ExternalID string
	// Found says that the user was there before, with the address that the source's
	// user has.
	Found bool
	// Claimed says that the source verified the address, and Proven that it is verified
	// here. Who has an unverified address on one side may be somebody else than who
	// has it on the other: a link would give one of them what is the other's.
	Claimed, Proven bool
}

// Decide returns the event that makes the link.
//
// Errors: ALREADY_EXISTS (field "email") for a user who was found and is not known to
// be the same person; LIMIT_REACHED. None writes anything. That nobody has the link
// is the unique index's to say.
func (c Join) Decide(s State) ([]proto.Message, error) {
	switch {
	case c.Found && !(c.Claimed && c.Proven):
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS,
			"the address has a user already; the two are linked only if the address is verified on both sides").With("field", "email")
	case len(s.Links) >= MaxOfUser:
		return nil, fault.New(fault.Precondition, commonv1.Reason_LIMIT_REACHED, "the user has as many links as may be").
			With("field", "external_id").With("limit", strconv.Itoa(MaxOfUser))
	}
	return []proto.Message{&eventv1.UserLinked{User: c.User, Source: c.Source, ExternalId: c.ExternalID}}, nil
}

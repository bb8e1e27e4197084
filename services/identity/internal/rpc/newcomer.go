package rpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// The limits of one imported user.
const (
	maxExternalID  = 128
	maxMemberships = 50
	maxLocale      = 35
)

// newcomer is a user who is being imported.
type newcomer struct {
	// index is the user's place in the request.
	index      int
	source     string
	externalID string
	// external and emailIndex are what the link and the address are found by.
	external, emailIndex []byte
	email                address.Address
	verified             bool
	name, locale         string
	// hash is of a password, or "".
	hash string
	// memberships are in the order of the organizations' ids.
	memberships []belonging
	// id is that of the user, if one is made.
	id string

	// link and found are what there was when it was looked for last.
	link   store.Link
	linked bool
	found  string
	// adopted is the user whom it was tried to link.
	adopted string
	// user is who it became, and revisions where that is written.
	user      string
	revisions []revision.Revision
}

// belonging is a membership that a newcomer is to have.
type belonging struct {
	// index is its place in the user's list.
	index        int
	organization string
	role         eventv1.MembershipRole
}

// read checks what a source says of a user.
//
// Errors: INVALID_FIELD, with the field inside the user.
func (s *Migration) read(source string, index int, u *identityv1.ImportedUser) (*newcomer, error) {
	n := &newcomer{
		index: index, source: source, externalID: u.GetExternalId(), verified: u.GetEmailVerified(),
		locale: u.GetLocale(), hash: u.GetPasswordHash(), id: id.New(id.User),
	}
	if err := checkExternalID(n.externalID); err != nil {
		return nil, err
	}
	if n.hash != "" {
		if s.Passwords == nil {
			return nil, fault.Field("password_hash", "supported", "there are no passwords here")
		}
		if err := s.Passwords.Check(n.hash); err != nil {
			return nil, err
		}
	}
	var err error
	if n.email, err = address.Parse(u.GetEmail()); err != nil {
		return nil, err
	}
	if n.name, err = nameOf(u.GetName()); err != nil {
		return nil, err
	}
	if !isLocale(n.locale) {
		return nil, fault.Field("locale", "locale", "must be a BCP 47 tag, as en or de-AT")
	}
	if n.memberships, err = belongings(u.GetMemberships()); err != nil {
		return nil, err
	}
	n.external = store.BlindExternal(s.Blind, source, n.externalID)
	n.emailIndex = store.BlindEmail(s.Blind, "", n.email)
	return n, nil
}

func checkExternalID(text string) error {
	if text == "" || len(text) > maxExternalID {
		return fault.Field("external_id", "length", fmt.Sprintf("must have 1 to %d characters", maxExternalID))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }) {
		return fault.Field("external_id", "characters", "must have visible ASCII characters only")
	}
	return nil
}

// isLocale says whether a text has the form that CreateUserRequest.locale has.
func isLocale(text string) bool {
	if text == "" {
		return true
	}
	if len(text) > maxLocale {
		return false
	}
	parts := strings.Split(text, "-")
	for i, part := range parts {
		digits := i > 0
		wrong := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (!digits || r < '0' || r > '9')
		}
		if len(part) < 1 || len(part) > 8 || i == 0 && len(part) < 2 || strings.ContainsFunc(part, wrong) {
			return false
		}
	}
	return len(parts) <= 5
}

// belongings checks a user's memberships.
func belongings(memberships []*identityv1.ImportedMembership) ([]belonging, error) {
	if len(memberships) > maxMemberships {
		return nil, fault.Field("memberships", "max_items", fmt.Sprintf("must be at most %d", maxMemberships))
	}
	var out []belonging
	for i, m := range memberships {
		b := belonging{index: i, organization: m.GetOrganization(), role: eventv1.MembershipRole(m.GetRole())}
		_, defined := identityv1.MembershipRole_name[int32(m.GetRole())]
		switch {
		case !id.Valid(id.Organization, b.organization):
			return nil, fault.Field(b.field("organization"), "organization_id", "is not an organization id")
		case !defined:
			return nil, fault.Field(b.field("role"), "defined", "is not a role")
		case slices.ContainsFunc(out, func(other belonging) bool { return other.organization == b.organization }):
			return nil, fault.Field(b.field("organization"), "unique", "is named before")
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b belonging) int { return strings.Compare(a.organization, b.organization) })
	return out, nil
}

func (b belonging) field(name string) string { return fmt.Sprintf("memberships[%d].%s", b.index, name) }

// at returns an error of a membership as one of its organization's field.
func (b belonging) at(err error) error {
	if f, ok := fault.As(err); ok {
		return f.With("field", b.field("organization"))
	}
	return err
}

func userField(index int, field string) string { return fmt.Sprintf("users[%d].%s", index, field) }

// organizations are the logs of the newcomer's memberships.
func (n *newcomer) organizations() []string {
	logs := make([]string, len(n.memberships))
	for i, m := range n.memberships {
		logs[i] = m.organization
	}
	return logs
}

// lane is the log by which commits wait for each other instead of competing: that of
// the first organization, or of the user.
func (n *newcomer) lane() string {
	if len(n.memberships) > 0 {
		return n.memberships[0].organization
	}
	return n.found
}

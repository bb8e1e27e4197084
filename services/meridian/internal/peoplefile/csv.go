package peoplefile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Columns are those that a CSV file may have, in any order. It must have
// external_id and email.
//
// email_verified is true, false or empty. memberships are organizations with
// spaces between them, each an id, and :member or :admin after it.
var Columns = []string{"external_id", "email", "email_verified", "name", "locale", "password_hash", "memberships"}

// table reads the lines under a header.
type table struct {
	columns []string
	fields  []string
}

func readHeader(l *lines) (*table, error) {
	text, long, err := l.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("line 1: there is no header; its columns are " + strings.Join(Columns, ","))
	case err != nil:
		return nil, err
	case long:
		return nil, fmt.Errorf("line 1: the header is longer than %d bytes", MaxLine)
	case !utf8.Valid(text):
		return nil, errors.New("line 1: the header is not UTF-8: convert the file first")
	}
	columns, err := split(text, nil, len(Columns)+1)
	if err != nil {
		return nil, fmt.Errorf("line 1: the header %w", err)
	}
	for i, name := range columns {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(Columns, name):
			return nil, fmt.Errorf("line 1: column %d of the header is none of %s", i+1, strings.Join(Columns, ","))
		case slices.Contains(columns[:i], name):
			return nil, fmt.Errorf("line 1: the header has the column %s twice", name)
		}
		columns[i] = name
	}
	for _, name := range []string{"external_id", "email"} {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("line 1: the header lacks the column %s", name)
		}
	}
	return &table{columns: columns}, nil
}

// user makes a user of a line. A refusal comes with the user where the external
// id is known.
func (t *table) user(line []byte) (*identityv1.ImportedUser, Refusal) {
	var err error
	if t.fields, err = split(line, t.fields[:0], len(t.columns)+1); err != nil {
		return nil, refuse("line", err.Error())
	}
	if len(t.fields) != len(t.columns) {
		more := ""
		if len(t.fields) > len(t.columns) {
			more = " or more"
		}
		return nil, refuse("line", fmt.Sprintf("has %d fields%s, the header has %d", len(t.fields), more, len(t.columns)))
	}
	user, refusal := &identityv1.ImportedUser{}, Refusal{}
	for i, name := range t.columns {
		switch text := t.fields[i]; name {
		case "external_id":
			user.ExternalId = text
		case "email":
			user.Email = text
		case "email_verified":
			switch strings.ToLower(text) {
			case "true":
				user.EmailVerified = true
			case "false", "":
			default:
				refusal = refuse(name, "must be true, false or empty")
			}
		case "name":
			user.Name = text
		case "locale":
			user.Locale = text
		case "password_hash":
			user.PasswordHash = text
		case "memberships":
			var wrong Refusal
			if user.Memberships, wrong = memberships(text); wrong.Reason != "" {
				refusal = wrong
			}
		}
	}
	return user, refusal
}

// maxMemberships of a user: what is more is not read.
const maxMemberships = 50

var errMemberships = refuse("memberships", fmt.Sprintf("must be at most %d", maxMemberships))

func memberships(text string) ([]*identityv1.ImportedMembership, Refusal) {
	var out []*identityv1.ImportedMembership
	for part := range strings.FieldsSeq(text) {
		if len(out) == maxMemberships {
			return nil, errMemberships
		}
		organization, word, _ := strings.Cut(part, ":")
		role, ok := roleOf(word)
		if !ok {
			return nil, refuse(fmt.Sprintf("memberships[%d].role", len(out)), rolesAre)
		}
		out = append(out, &identityv1.ImportedMembership{Organization: organization, Role: role})
	}
	return out, Refusal{}
}

const rolesAre = "must be member or admin, or left out"

func roleOf(word string) (identityv1.MembershipRole, bool) {
	switch word {
	case "":
		return identityv1.MembershipRole_MEMBERSHIP_ROLE_UNSPECIFIED, true
	case "member":
		return identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, true
	case "admin":
		return identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN, true
	default:
		return 0, false
	}
}

var (
	errQuoteInside = errors.New("has a quote inside a field that does not begin with one")
	errQuoteOpen   = errors.New("has a quote that is not closed on the line")
	errQuoteAfter  = errors.New("has text after a closing quote")
)

// split appends the fields of a line to into, most of them at most.
func split(line []byte, into []string, most int) ([]string, error) {
	rest := string(line)
	for len(into) < most {
		var (
			field string
			last  bool
			err   error
		)
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			field, rest, last, err = unquote(quoted)
		} else {
			var found bool
			field, rest, found = strings.Cut(rest, ",")
			last = !found
			if strings.Contains(field, `"`) {
				err = errQuoteInside
			}
		}
		if err != nil {
			return into, err
		}
		into = append(into, field)
		if last {
			break
		}
	}
	return into, nil
}

// unquote reads a field after its opening quote.
func unquote(text string) (field, rest string, last bool, err error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, `"`)
		if !found {
			return "", "", false, errQuoteOpen
		}
		out.WriteString(before)
		switch {
		case after == "":
			return out.String(), "", true, nil
		case after[0] == ',':
			return out.String(), after[1:], false, nil
		case after[0] != '"':
			return "", "", false, errQuoteAfter
		}
		out.WriteByte('"')
		text = after[1:]
	}
}

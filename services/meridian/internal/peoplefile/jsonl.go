package peoplefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// parseObject makes a user of a line of JSON. Fields that mean nothing, that come
// twice, or that are of another type are refused: what is not read as it was
// meant is not imported. null is as if the field were absent. A refusal comes with
// the user where the external id is known.
func parseObject(line []byte) (*identityv1.ImportedUser, Refusal) {
	user := &identityv1.ImportedUser{}
	d := &object{json.NewDecoder(bytes.NewReader(line))}
	refusal := d.each("", func(field string) (Refusal, bool) {
		switch field {
		case "external_id":
			return d.text(field, &user.ExternalId), true
		case "email":
			return d.text(field, &user.Email), true
		case "email_verified":
			return d.value(field, "must be true or false", &user.EmailVerified), true
		case "name":
			return d.text(field, &user.Name), true
		case "locale":
			return d.text(field, &user.Locale), true
		case "password_hash":
			return d.text(field, &user.PasswordHash), true
		case "memberships":
			return d.memberships(user), true
		default:
			return Refusal{}, false
		}
	})
	if refusal.Reason == "" {
		if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
			refusal = refuse("line", "has more than one JSON object")
		}
	}
	return user, refusal
}

// object reads a JSON object token by token.
type object struct{ json *json.Decoder }

var errNoObject = refuse("line", "is not a JSON object")

// each reads an object and calls set for each of its fields, which says whether
// there is such a field.
func (o *object) each(path string, set func(field string) (Refusal, bool)) Refusal {
	if token, err := o.json.Token(); err != nil || token != json.Delim('{') {
		return errNoObject
	}
	var done []string
	for o.json.More() {
		token, err := o.json.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return errNoObject
		}
		if slices.Contains(done, name) {
			return refuse(path+name, "stands there twice")
		}
		refusal, known := set(name)
		switch {
		case !known:
			return refuse("line", "has a field that is none of "+strings.Join(Columns, ", ")+", or of organization, role in memberships")
		case refusal.Reason != "":
			return refusal
		}
		done = append(done, name)
	}
	if _, err := o.json.Token(); err != nil {
		return errNoObject
	}
	return Refusal{}
}

func (o *object) value(field, rule string, into any) Refusal {
	if err := o.json.Decode(into); err != nil {
		return refuse(field, rule)
	}
	return Refusal{}
}

// text reads a string that says what it said: the decoder puts U+FFFD where an
// escape is half of a character.
func (o *object) text(field string, into *string) Refusal {
	var raw json.RawMessage
	if err := o.json.Decode(&raw); err != nil {
		return refuse(field, "must be a string")
	}
	if string(raw) == "null" {
		return Refusal{}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return refuse(field, "must be a string")
	}
	if strings.ContainsRune(*into, utf8.RuneError) && replaced(raw, *into) {
		return refuse(field, "has half of a character, as \\ud83d")
	}
	return Refusal{}
}

// replaced says whether a string holds more U+FFFD than its JSON wrote.
func replaced(raw []byte, text string) bool {
	written := bytes.Count(raw, []byte("\ufffd"))
	for i := 0; i+6 <= len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] == 'u' && bytes.EqualFold(raw[i+2:i+6], []byte("fffd")) {
			written++
		}
		i++ // what is escaped escapes nothing
	}
	return strings.Count(text, "\ufffd") > written
}

func (o *object) memberships(user *identityv1.ImportedUser) Refusal {
	const list = "must be a list of objects with organization and role"
	switch token, err := o.json.Token(); {
	case err == nil && token == nil:
		return Refusal{}
	case err != nil || token != json.Delim('['):
		return refuse("memberships", list)
	}
	for o.json.More() {
		if len(user.GetMemberships()) == maxMemberships {
			return errMemberships
		}
		m, word := &identityv1.ImportedMembership{}, ""
		path := fmt.Sprintf("memberships[%d].", len(user.GetMemberships()))
		refusal := o.each(path, func(field string) (Refusal, bool) {
			switch field {
			case "organization":
				return o.text(path+field, &m.Organization), true
			case "role":
				return o.text(path+field, &word), true
			default:
				return Refusal{}, false
			}
		})
		if refusal == errNoObject {
			return refuse("memberships", list)
		}
		if refusal.Reason != "" {
			return refusal
		}
		role, ok := roleOf(word)
		if !ok {
			return refuse(path+"role", rolesAre)
		}
		m.Role = role
		user.Memberships = append(user.Memberships, m)
	}
	if _, err := o.json.Token(); err != nil {
		return refuse("memberships", list)
	}
	return Refusal{}
}

package passkey

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
)

// clientData is what the client says about a ceremony; the authenticator signs
// its hash.
type clientData struct {
	Type        string
	Challenge   string
	Origin      string
	CrossOrigin bool
	// TopOrigin is nil if the client does not name one.
	TopOrigin *string
}

// readClientData reads client data more strictly than JSON is usually read:
// names are told apart by case, and none comes twice.
func readClientData(raw []byte) (clientData, error) {
	var c clientData
	members, ok := object(raw)
	if !ok {
		return c, refuse(RuleMalformed)
	}
	for name, into := range map[string]any{
		"type": &c.Type, "challenge": &c.Challenge, "origin": &c.Origin,
		"crossOrigin": &c.CrossOrigin, "topOrigin": &c.TopOrigin,
	} {
		value, present := members[name]
		if !present {
			continue
		}
		if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, into) != nil {
			return c, refuse(RuleMalformed)
		}
	}
	return c, nil
}

// object reads one JSON object, the members of which have different names.
func object(raw []byte) (map[string]json.RawMessage, bool) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		name, isText := token.(string)
		if err != nil || !isText {
			return nil, false
		}
		if _, twice := members[name]; twice {
			return nil, false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, false
		}
		members[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return members, err == io.EOF
}

// checkClient checks what the client says.
//
// Source: section 7.1 steps 7 to 11, section 7.2 steps 10 to 14.
func (r Relying) checkClient(s State, raw []byte) error {
	c, err := readClientData(raw)
	if err != nil {
		return err
	}
	challenge := s.encoded()
	switch {
	case c.Type != string(s.Ceremony):
		return refuse(RuleType)
	case subtle.ConstantTimeCompare([]byte(challenge), []byte(c.Challenge)) != 1:
		return refuse(RuleChallenge)
	case !r.accepts(c.Origin):
		return refuse(RuleOrigin)
	case c.CrossOrigin && !r.CrossOrigin:
		return refuse(RuleCrossOrigin)
	case c.TopOrigin == nil:
		return nil
	case !c.CrossOrigin || !slices.Contains(r.TopOrigins, *c.TopOrigin):
		return refuse(RuleTopOrigin)
	}
	return nil
}

// checkAuthenticator checks what the authenticator says in both ceremonies.
//
// Source: section 7.1 steps 14 to 17, section 7.2 steps 15 to 18.
func (r Relying) checkAuthenticator(s State, data protocol.AuthenticatorData) error {
	hash := sha256.Sum256([]byte(r.ID))
	switch {
	case !bytes.Equal(data.RPIDHash, hash[:]):
		return refuse(RuleRPID)
	case !data.Flags.HasUserPresent():
		return refuse(RuleUserPresence)
	case s.verifies() && !data.Flags.HasUserVerified():
		return refuse(RuleUserVerification)
	case data.Flags.HasBackupState() && !data.Flags.HasBackupEligible():
		return refuse(RuleBackup)
	}
	return nil
}

// origins are all that a client may be at. The library compares them by bytes
// when they are given as opaque.
func (r Relying) origins() []string { return slices.Concat(r.Origins, r.RelatedOrigins) }

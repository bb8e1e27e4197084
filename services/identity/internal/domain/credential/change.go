package credential

import (
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// SetPassword gives a user a password, or another one.
type SetPassword struct {
	User string
	// ID is that of a first password; another one keeps the id that there is.
	ID string
	// Algorithm is the hash's, as argon2id.
	Algorithm string
	// Origin is how it came: user, administrator, recovery, rehash, import, or a
	// source's name.
	Origin string
}

// Decide returns the event.
//
// Errors: INVALID_FIELD (id). That the user is there is for the caller to see to,
// here and below.
func (c SetPassword) Decide(s Set) ([]proto.Message, error) {
	credential := c.ID
	if there, ok := s.Single(Password); ok {
		credential = there.ID
	} else if err := s.fresh(c.ID); err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.PasswordSet{User: c.User, Credential: credential, Algorithm: c.Algorithm, Origin: c.Origin}}, nil
}

// AddPasskey registers a passkey. That it is registered for nobody is the primary
// key's to say.
type AddPasskey struct {
	User, ID, Name string
	RPID           string
	AAGUID         []byte
	Format         string
	BackupEligible bool
}

// Decide returns the event.
//
// Errors: LIMIT_REACHED, ALREADY_EXISTS, INVALID_FIELD (id).
func (c AddPasskey) Decide(s Set) ([]proto.Message, error) {
	if err := s.fresh(c.ID); err != nil {
		return nil, err
	}
	if err := s.Room(Passkey); err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.PasskeyAdded{
		User: c.User, Credential: c.ID, Name: c.Name, RpId: c.RPID, Aaguid: c.AAGUID,
		AttestationFormat: c.Format, BackupEligible: c.BackupEligible,
	}}, nil
}

// Flag notes that a passkey's counter went back.
type Flag struct{ User, ID string }

// Decide returns the event, or none when it is noted.
//
// Errors: NOT_FOUND.
func (c Flag) Decide(s Set) ([]proto.Message, error) {
	switch there, ok := s[c.ID]; {
	case !ok || there.Kind != Passkey:
		return nil, NotFound()
	case there.Flagged:
		return nil, nil
	}
	return []proto.Message{&eventv1.PasskeyFlagged{User: c.User, Credential: c.ID}}, nil
}

// AddTOTP adds an authenticator app or token.
type AddTOTP struct{ User, ID, Name string }

// Decide returns the event.
//
// Errors: LIMIT_REACHED, ALREADY_EXISTS, INVALID_FIELD (id).
func (c AddTOTP) Decide(s Set) ([]proto.Message, error) {
	if err := s.fresh(c.ID); err != nil {
		return nil, err
	}
	if err := s.Room(TOTP); err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.TotpAdded{User: c.User, Credential: c.ID, Name: c.Name}}, nil
}

// IssueCodes replaces all recovery codes.
type IssueCodes struct {
	User string
	// ID is that of the first codes; others keep the id that there is.
	ID    string
	Count uint32
}

// Decide returns the event.
//
// Errors: INVALID_FIELD (id).
func (c IssueCodes) Decide(s Set) ([]proto.Message, error) {
	credential := c.ID
	if there, ok := s.Single(RecoveryCodes); ok {
		credential = there.ID
	} else if err := s.fresh(c.ID); err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.RecoveryCodesIssued{User: c.User, Credential: credential, Count: c.Count}}, nil
}

// UseCode uses up one recovery code.
type UseCode struct{ User, ID string }

// Decide returns the event.
//
// Errors: NOT_FOUND, also when none is left.
func (c UseCode) Decide(s Set) ([]proto.Message, error) {
	there, ok := s[c.ID]
	if !ok || there.Kind != RecoveryCodes || there.Left == 0 {
		return nil, NotFound()
	}
	return []proto.Message{&eventv1.RecoveryCodeUsed{User: c.User, Credential: c.ID, Left: there.Left - 1}}, nil
}

// Rename gives a passkey or TOTP a name.
type Rename struct{ User, ID, Name string }

// Decide returns the event, or none when that is its name.
//
// Errors: NOT_FOUND; INVALID_FIELD for a credential that has no name.
func (c Rename) Decide(s Set) ([]proto.Message, error) {
	switch there, ok := s[c.ID]; {
	case !ok:
		return nil, NotFound()
	case there.Kind != Passkey && there.Kind != TOTP:
		return nil, fault.Field("credential", "kind", "is neither a passkey nor a TOTP: others have no name")
	case there.Name == c.Name:
		return nil, nil
	}
	return []proto.Message{&eventv1.CredentialRenamed{User: c.User, Credential: c.ID, Name: c.Name}}, nil
}

// Delete removes a credential.
type Delete struct{ User, ID string }

// Decide returns the event.
//
// Errors: NOT_FOUND.
func (c Delete) Decide(s Set) ([]proto.Message, error) {
	if _, ok := s[c.ID]; !ok {
		return nil, NotFound()
	}
	return []proto.Message{&eventv1.CredentialDeleted{User: c.User, Credential: c.ID}}, nil
}

// Rejected is the error for a credential that breaks a rule of its registration.
func Rejected(rule string) *fault.Fault {
	return fault.New(fault.Invalid, commonv1.Reason_CREDENTIAL_REJECTED, "the credential breaks a rule of registration: "+rule).With("rule", rule)
}

// Package credential decides what happens to what users prove themselves with.
// Secrets are none of its business: they are rows, and no event has them.
package credential

import (
	"bytes"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Kind says what a credential is. Rows hold its number.
type Kind = identityv1.CredentialKind

// The kinds.
const (
	Password      = identityv1.CredentialKind_CREDENTIAL_KIND_PASSWORD
	Passkey       = identityv1.CredentialKind_CREDENTIAL_KIND_PASSKEY
	TOTP          = identityv1.CredentialKind_CREDENTIAL_KIND_TOTP
	RecoveryCodes = identityv1.CredentialKind_CREDENTIAL_KIND_RECOVERY_CODES
)

// How many credentials a user has at most, of the kinds of which there may be
// several.
const (
	MaxPasskeys = 20
	MaxTOTPs    = 5
)

// State is a credential as the user's log tells it.
type State struct {
	ID   string
	Kind Kind
	// Name is personal data.
	Name string
	// Left are recovery codes.
	Left uint32
	// Of a passkey.
	RPID           string
	AAGUID         []byte
	Format         string
	BackupEligible bool
	Flagged        bool
}

// Equal says whether two states are the same, but for the name.
func (s State) Equal(other State) bool {
	return s.ID == other.ID && s.Kind == other.Kind && s.Left == other.Left && s.RPID == other.RPID &&
		bytes.Equal(s.AAGUID, other.AAGUID) && s.Format == other.Format && s.BackupEligible == other.BackupEligible && s.Flagged == other.Flagged
}

// Set are a user's credentials, by id. The zero Set has none.
type Set map[string]State

// Apply folds one event and returns the set, which it may have changed; events
// about other things change nothing.
func (s Set) Apply(event proto.Message) Set {
	if s == nil {
		s = Set{}
	}
	switch e := event.(type) {
	case *eventv1.PasswordSet:
		s[e.GetCredential()] = State{ID: e.GetCredential(), Kind: Password}
	case *eventv1.PasskeyAdded:
		s[e.GetCredential()] = State{
			ID: e.GetCredential(), Kind: Passkey, Name: e.GetName(), RPID: e.GetRpId(), AAGUID: e.GetAaguid(),
			Format: e.GetAttestationFormat(), BackupEligible: e.GetBackupEligible(),
		}
	case *eventv1.TotpAdded:
		s[e.GetCredential()] = State{ID: e.GetCredential(), Kind: TOTP, Name: e.GetName()}
	case *eventv1.RecoveryCodesIssued:
		s[e.GetCredential()] = State{ID: e.GetCredential(), Kind: RecoveryCodes, Left: e.GetCount()}
	case *eventv1.CredentialDeleted:
		delete(s, e.GetCredential())
	case *eventv1.UserErased:
		clear(s)
	default:
		s.change(event)
	}
	return s
}

// change folds the events that change a credential that is there.
func (s Set) change(event proto.Message) {
	var of string
	var apply func(*State)
	switch e := event.(type) {
	case *eventv1.PasskeyFlagged:
		of, apply = e.GetCredential(), func(c *State) { c.Flagged = true }
	case *eventv1.RecoveryCodeUsed:
		of, apply = e.GetCredential(), func(c *State) { c.Left = e.GetLeft() }
	case *eventv1.CredentialRenamed:
		of, apply = e.GetCredential(), func(c *State) { c.Name = e.GetName() }
	default:
		return
	}
	if c, ok := s[of]; ok {
		apply(&c)
		s[of] = c
	}
}

// Single returns the credential of a kind of which there is one at most.
func (s Set) Single(kind Kind) (State, bool) {
	for _, c := range s {
		if c.Kind == kind {
			return c, true
		}
	}
	return State{}, false
}

// count is how many there are of a kind.
func (s Set) count(kind Kind) (n int) {
	for _, c := range s {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// Room says whether another credential of a kind can be added.
//
// Errors: LIMIT_REACHED (metadata "limit" and "field").
func (s Set) Room(kind Kind) error {
	limit := map[Kind]int{Passkey: MaxPasskeys, TOTP: MaxTOTPs}[kind]
	if s.count(kind) < limit {
		return nil
	}
	return fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "the user has as many as there may be").
		With("limit", strconv.Itoa(limit)).With("field", "user")
}

// NotFound is the answer for a credential that is absent or another user's.
func NotFound() error {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such credential")
}

// fresh says whether an id can be that of a new credential.
func (s Set) fresh(credential string) error {
	if _, exists := s[credential]; exists {
		return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the credential exists").With("field", "id")
	}
	if !id.Valid(id.Credential, credential) {
		return fault.Field("id", "credential_id", "is not a credential id")
	}
	return nil
}

// Package passkey performs WebAuthn ceremonies for a relying party: it makes the
// options that a client is given and decides whether what the client answers is
// a new credential or an assertion of a known one.
//
// It keeps nothing. Between the two halves of a ceremony the caller keeps a
// State, for one use: a state that was given to FinishRegistration or
// FinishAssertion must never be given again, whatever came of it. Times are
// given; only the certificates of an attestation are also looked at by the
// machine's own clock, which the library does.
//
// Whatever breaks a rule of WebAuthn or of the policy is a Refusal that names
// the rule and nothing of the input. What is wrong with the caller's own values
// is a fault.
//
// Source: Web Authentication Level 3, sections 7.1 and 7.2.
package passkey

import (
	"github.com/google/uuid"
)

// The limits of what comes from a client.
const (
	// MaxResponse is the size of a response in bytes of JSON.
	MaxResponse = 64 << 10
	// MaxCredentialID is the length of a credential id in bytes.
	MaxCredentialID = 1023
	// MaxPublicKey is the length of a COSE key in bytes.
	MaxPublicKey = 2048

	maxTransports = 16
)

// User is whom a credential is registered for.
type User struct {
	// ID is the user handle: 1 to 64 bytes that say nothing about the person. A
	// discoverable assertion brings it back.
	ID []byte
	// Name and DisplayName are shown by the client when the user chooses among
	// accounts. Name is not empty; each is at most 256 bytes of UTF-8.
	Name        string
	DisplayName string
}

// Credential is a registered credential: what a relying party must remember.
type Credential struct {
	// ID is chosen by the authenticator: 1 to MaxCredentialID bytes.
	ID []byte `json:"id"`
	// UserHandle is the ID of the user it was registered for.
	UserHandle []byte `json:"user_handle"`
	// RPID is the relying party id that it is bound to.
	RPID string `json:"rp_id"`
	// PublicKey is a COSE_Key in canonical CBOR, at most MaxPublicKey bytes.
	PublicKey []byte `json:"public_key"`
	// Algorithm is that of the public key.
	Algorithm Algorithm `json:"algorithm"`
	// AAGUID names the make of the authenticator; unless Trusted it is a claim.
	// It may be zero.
	AAGUID uuid.UUID `json:"aaguid"`
	// SignCount is the highest signature counter seen; 0 if the authenticator
	// does not count.
	SignCount uint32 `json:"sign_count"`
	// Transports are hints for finding the authenticator again, sorted.
	Transports []string `json:"transports,omitempty"`
	// BackupEligible never changes: the credential may be synchronized to other
	// devices. BackupState says whether it was, when it was last used.
	BackupEligible bool `json:"backup_eligible"`
	BackupState    bool `json:"backup_state"`
	// UserVerified says that the authenticator verified the user when the
	// credential was registered. An assertion does not change it.
	UserVerified bool `json:"user_verified"`
	// Discoverable says that the client reported a discoverable credential. It
	// is a claim; absent reports are false.
	Discoverable bool `json:"discoverable"`
	// AttestationFormat is that of the attestation statement that was verified,
	// "none" if there was no statement.
	AttestationFormat string `json:"attestation_format"`
	// Trusted says that the attestation chains to a root of the relying party.
	Trusted bool `json:"trusted"`
}

// Assertion is what a client proved.
type Assertion struct {
	// Credential is the credential as it must be stored from now on: with the new
	// signature counter and backup state. If the counter regressed it is as it was.
	Credential Credential
	// UserVerified says that the authenticator verified the user, so that the
	// assertion is of two factors.
	UserVerified bool
	// CountRegressed says that the signature counter did not rise although it is
	// in use: two authenticators may hold the credential. The caller refuses the
	// sign-in (RuleSignCount) and records it.
	CountRegressed bool
}

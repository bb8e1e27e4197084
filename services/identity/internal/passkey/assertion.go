package passkey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Lookup finds the credential of an id. userHandle is whom the client says the
// credential is of: never nil in a discoverable assertion, otherwise it may be.
//
// Errors: Refusal{RuleCredential} for one that is not known; every other error
// reaches the caller of FinishAssertion as it is, wrapped.
type Lookup func(userHandle, credentialID []byte) (Credential, error)

// BeginAssertion begins to ask for an assertion: of one of the allowed
// credentials, at most 64, or, if allow is nil, of a discoverable credential of
// whichever user. A list that is empty but not nil is a mistake, and refused: a
// user without credentials cannot sign in. The options are a
// PublicKeyCredentialRequestOptionsJSON.
//
// Errors: INVALID_FIELD.
func (r Relying) BeginAssertion(now time.Time, allow []Credential, policy Policy) (options []byte, state State, err error) {
	if err := r.Validate(); err != nil {
		return nil, State{}, err
	}
	if policy, err = policy.settled(); err != nil {
		return nil, State{}, err
	}
	if allow != nil && len(allow) == 0 {
		return nil, State{}, fault.Field("allow", "min_items", "no credential is allowed")
	}
	allowed, ids, err := descriptors("allow", allow)
	if err != nil {
		return nil, State{}, err
	}
	if state, err = r.begin(now, Assertions, policy); err != nil {
		return nil, State{}, err
	}
	state.Credentials = ids
	options, err = json.Marshal(protocol.PublicKeyCredentialRequestOptions{
		Challenge:          state.Challenge,
		Timeout:            int(policy.Timeout.Milliseconds()),
		RelyingPartyID:     r.ID,
		AllowedCredentials: allowed,
		UserVerification:   protocol.UserVerificationRequirement(policy.UserVerification),
	})
	return options, state, err
}

// FinishAssertion decides whether a response, an AuthenticationResponseJSON,
// proves possession of a credential. A counter that regressed is no error here:
// see Assertion.CountRegressed.
//
// Errors: Refusal, and what lookup returns.
func (r Relying) FinishAssertion(now time.Time, s State, response []byte, lookup Lookup) (Assertion, error) {
	if err := r.check(now, s, Assertions, response); err != nil {
		return Assertion{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Assertion{}, refuse(RuleMalformed)
	}
	if err := r.checkClient(s, parsed.Raw.AssertionResponse.ClientDataJSON); err != nil {
		return Assertion{}, err
	}
	data := parsed.Response.AuthenticatorData
	if err := r.checkAuthenticator(s, data); err != nil {
		return Assertion{}, err
	}
	known, err := r.find(s, parsed, lookup)
	if err != nil {
		return Assertion{}, err
	}
	if known.BackupEligible != data.Flags.HasBackupEligible() {
		return Assertion{}, refuse(RuleBackup)
	}
	// The library checks once more what was checked here, and then the signature.
	err = parsed.Verify(s.encoded(), r.ID, "", nil, r.origins(), r.TopOrigins, protocol.TopOriginExplicitVerificationMode, r.CrossOrigin,
		s.verifies(), true, known.PublicKey, protocol.SignaturePolicy{})
	if err != nil {
		return Assertion{}, refuse(RuleSignature)
	}
	out := Assertion{Credential: known, UserVerified: data.Flags.HasUserVerified()}
	if (data.Counter != 0 || known.SignCount != 0) && data.Counter <= known.SignCount {
		out.CountRegressed = true
		return out, nil
	}
	out.Credential.SignCount = data.Counter
	out.Credential.BackupState = data.Flags.HasBackupState()
	return out, nil
}

// find identifies the user and the credential.
//
// Source: section 7.2 steps 5 and 6.
func (r Relying) find(s State, parsed *protocol.ParsedCredentialAssertionData, lookup Lookup) (Credential, error) {
	id, handle := parsed.RawID, parsed.Response.UserHandle
	if len(id) > MaxCredentialID {
		return Credential{}, refuse(RuleCredentialID)
	}
	allowed := slices.ContainsFunc(s.Credentials, func(a []byte) bool { return bytes.Equal(a, id) })
	switch {
	case len(s.Credentials) > 0 && !allowed:
		return Credential{}, refuse(RuleCredential)
	case len(s.Credentials) == 0 && len(handle) == 0, len(handle) > maxUserID:
		return Credential{}, refuse(RuleUserHandle)
	}
	if len(handle) == 0 {
		handle = nil
	}
	known, err := lookup(bytes.Clone(handle), bytes.Clone(id))
	if err != nil {
		return Credential{}, fmt.Errorf("look up credential: %w", err)
	}
	switch {
	case !bytes.Equal(known.ID, id), known.RPID != r.ID:
		return Credential{}, refuse(RuleCredential)
	case handle != nil && !bytes.Equal(known.UserHandle, handle):
		return Credential{}, refuse(RuleUserHandle)
	}
	return known, nil
}

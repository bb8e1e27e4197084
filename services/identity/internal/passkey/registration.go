package passkey

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/google/uuid"

	"github.com/meridian-iam/meridian/pkg/fault"
)

const (
	maxUserID   = 64
	maxUserName = 256
	// maxNamed is how many credentials options name.
	maxNamed = 64
)

// BeginRegistration begins to register a credential for a user. The options are
// a PublicKeyCredentialCreationOptionsJSON, to be read by the browser's
// PublicKeyCredential.parseCreationOptionsFromJSON. exclude are the user's
// credentials, at most 64, so that no authenticator is registered twice.
//
// Errors: INVALID_FIELD.
func (r Relying) BeginRegistration(now time.Time, user User, exclude []Credential, policy Policy) (options []byte, state State, err error) {
	if err := r.Validate(); err != nil {
		return nil, State{}, err
	}
	if err := user.validate(); err != nil {
		return nil, State{}, err
	}
	if policy, err = policy.settled(); err != nil {
		return nil, State{}, err
	}
	excluded, ids, err := descriptors("exclude", exclude)
	if err != nil {
		return nil, State{}, err
	}
	if state, err = r.begin(now, Registration, policy); err != nil {
		return nil, State{}, err
	}
	state.UserHandle = bytes.Clone(user.ID)
	state.Credentials = ids
	state.ResidentKey = policy.ResidentKey
	state.Attestation = policy.Attestation
	state.AllowedFormats = policy.AllowedFormats
	state.Algorithms = policy.Algorithms

	resident := policy.ResidentKey == Required
	creation := protocol.PublicKeyCredentialCreationOptions{
		RelyingParty: protocol.RelyingPartyEntity{CredentialEntity: protocol.CredentialEntity{Name: r.Name}, ID: r.ID},
		User: protocol.UserEntity{
			CredentialEntity: protocol.CredentialEntity{Name: user.Name},
			DisplayName:      user.DisplayName,
			ID:               protocol.URLEncodedBase64(user.ID),
		},
		Challenge:             state.Challenge,
		Parameters:            parameters(policy.Algorithms),
		Timeout:               int(policy.Timeout.Milliseconds()),
		CredentialExcludeList: excluded,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &resident,
			ResidentKey:        protocol.ResidentKeyRequirement(policy.ResidentKey),
			UserVerification:   protocol.UserVerificationRequirement(policy.UserVerification),
		},
		Attestation: protocol.ConveyancePreference(policy.Attestation),
	}
	if policy.Attestation == AttestationDirect {
		for _, f := range policy.AllowedFormats {
			creation.AttestationFormats = append(creation.AttestationFormats, protocol.AttestationFormat(f))
		}
	}
	creation.Extensions.CredProps = true
	options, err = json.Marshal(creation)
	return options, state, err
}

// FinishRegistration decides whether a response, a RegistrationResponseJSON, is
// a new credential of the state's user. Whether its id is registered already,
// for any user, is for the caller to find out when it stores it.
//
// Errors: Refusal.
func (r Relying) FinishRegistration(now time.Time, s State, response []byte) (Credential, error) {
	if err := r.check(now, s, Registration, response); err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, refuse(RuleMalformed)
	}
	if err := r.checkClient(s, parsed.Raw.AttestationResponse.ClientDataJSON); err != nil {
		return Credential{}, err
	}
	data := parsed.Response.AttestationObject.AuthData
	if err := r.checkAuthenticator(s, data); err != nil {
		return Credential{}, err
	}
	if err := checkID(s, parsed.RawID, data.AttData.CredentialID); err != nil {
		return Credential{}, err
	}
	algorithm, err := checkKey(data.AttData.CredentialPublicKey, s.Algorithms)
	if err != nil {
		return Credential{}, err
	}
	reported := parsed.ClientExtensionResults.CredProps
	discoverable := reported != nil && reported.RK != nil && *reported.RK
	if s.ResidentKey == Required && reported != nil && reported.RK != nil && !discoverable {
		return Credential{}, refuse(RuleResidentKey)
	}
	transports, err := readTransports(parsed.Response.Transports)
	if err != nil {
		return Credential{}, err
	}
	trusted, err := r.checkAttestation(now, s, parsed)
	if err != nil {
		return Credential{}, err
	}
	aaguid, err := uuid.FromBytes(data.AttData.AAGUID)
	if err != nil {
		return Credential{}, refuse(RuleMalformed)
	}
	return Credential{
		ID:                bytes.Clone(data.AttData.CredentialID),
		UserHandle:        bytes.Clone(s.UserHandle),
		RPID:              r.ID,
		PublicKey:         bytes.Clone(data.AttData.CredentialPublicKey),
		Algorithm:         algorithm,
		AAGUID:            aaguid,
		SignCount:         data.Counter,
		Transports:        transports,
		BackupEligible:    data.Flags.HasBackupEligible(),
		BackupState:       data.Flags.HasBackupState(),
		UserVerified:      data.Flags.HasUserVerified(),
		Discoverable:      discoverable,
		AttestationFormat: parsed.Response.AttestationObject.Format,
		Trusted:           trusted,
	}, nil
}

// validate says what is wrong with the user.
func (u User) validate() error {
	switch {
	case len(u.ID) == 0 || len(u.ID) > maxUserID:
		return fault.Field("user.id", "len", "not 1 to 64 bytes")
	case u.Name == "" || len(u.Name) > maxUserName || !utf8.ValidString(u.Name):
		return fault.Field("user.name", "len", "not 1 to 256 bytes of UTF-8")
	case len(u.DisplayName) > maxUserName || !utf8.ValidString(u.DisplayName):
		return fault.Field("user.display_name", "max_len", "more than 256 bytes, or not UTF-8")
	}
	return nil
}

// descriptors name credentials in options, and return their ids.
func descriptors(field string, credentials []Credential) ([]protocol.CredentialDescriptor, [][]byte, error) {
	if len(credentials) > maxNamed {
		return nil, nil, fault.Field(field, "max_items", "more than 64 credentials")
	}
	var named []protocol.CredentialDescriptor
	var ids [][]byte
	for _, c := range credentials {
		if len(c.ID) == 0 || len(c.ID) > MaxCredentialID {
			return nil, nil, fault.Field(field, "credential_id", "not 1 to 1023 bytes")
		}
		d := protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: c.ID}
		for _, t := range c.Transports {
			d.Transport = append(d.Transport, protocol.AuthenticatorTransport(t))
		}
		named = append(named, d)
		ids = append(ids, bytes.Clone(c.ID))
	}
	return named, ids, nil
}

// checkID checks the id of a new credential: the client's and the
// authenticator's are the same, of allowed length, and not an excluded one.
//
// Source: section 7.1 step 26.
func checkID(s State, raw, attested []byte) error {
	if len(attested) == 0 || len(attested) > MaxCredentialID || !bytes.Equal(raw, attested) {
		return refuse(RuleCredentialID)
	}
	if slices.ContainsFunc(s.Credentials, func(id []byte) bool { return bytes.Equal(id, attested) }) {
		return refuse(RuleExcluded)
	}
	return nil
}

var transport = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// readTransports sorts the transports, which a relying party keeps even if it
// does not know them.
func readTransports(reported []protocol.AuthenticatorTransport) ([]string, error) {
	if len(reported) > maxTransports {
		return nil, refuse(RuleMalformed)
	}
	var out []string
	for _, t := range reported {
		if !transport.MatchString(string(t)) {
			return nil, refuse(RuleMalformed)
		}
		out = append(out, string(t))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

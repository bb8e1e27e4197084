package passkey

import (
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Requirement says how much something is wanted.
type Requirement string

// The requirements.
const (
	Required    Requirement = "required"
	Preferred   Requirement = "preferred"
	Discouraged Requirement = "discouraged"
)

// Attestation says whether the authenticator's attestation is asked for.
type Attestation string

// The attestations.
const (
	// AttestationNone asks for none. A client then sends the format "none", or
	// leaves a self attestation as it is; every other format is refused.
	AttestationNone Attestation = "none"
	// AttestationDirect asks for the authenticator's own statement; its format
	// must be one of the allowed.
	AttestationDirect Attestation = "direct"
)

// Algorithm is a COSE signature algorithm.
type Algorithm int64

// The algorithms.
const (
	ES256 Algorithm = -7
	EdDSA Algorithm = -8
	ES384 Algorithm = -35
	ES512 Algorithm = -36
	RS256 Algorithm = -257
)

// Attestation formats. Those that are not here are never accepted:
// android-safetynet is withdrawn, and compound says nothing that its parts do not.
const (
	FormatNone       = "none"
	FormatPacked     = "packed"
	FormatTPM        = "tpm"
	FormatAndroidKey = "android-key"
	FormatFIDOU2F    = "fido-u2f"
	FormatApple      = "apple"
)

// DefaultTimeout is how long a ceremony may take.
const DefaultTimeout = 5 * time.Minute

// Policy is what a ceremony requires. The zero policy is that of signing in
// without a password: the user is verified and the credential is discoverable.
type Policy struct {
	// UserVerification: absent means required. Only then is an assertion without
	// it refused.
	UserVerification Requirement
	// ResidentKey: absent means required. For registration only.
	ResidentKey Requirement
	// Attestation: absent means none. For registration only.
	Attestation Attestation
	// AllowedFormats are the attestation formats that direct attestation accepts;
	// absent means all that can be verified, and none. FormatNone among them
	// accepts authenticators that attest nothing.
	AllowedFormats []string
	// Algorithms are offered in this order; absent means EdDSA, ES256, RS256.
	Algorithms []Algorithm
	// Timeout: absent means DefaultTimeout. At most an hour.
	Timeout time.Duration
}

// keyTypes holds the algorithms that may be offered, with their COSE key types.
var keyTypes = map[Algorithm]webauthncose.COSEKeyType{
	ES256: webauthncose.EllipticKey,
	EdDSA: webauthncose.OctetKey,
	ES384: webauthncose.EllipticKey,
	ES512: webauthncose.EllipticKey,
	RS256: webauthncose.RSAKey,
}

var formats = []string{FormatNone, FormatPacked, FormatTPM, FormatAndroidKey, FormatFIDOU2F, FormatApple}

// Validate says what is wrong with the policy. Begin… do it, too.
//
// Errors: INVALID_FIELD.
func (p Policy) Validate() error {
	_, err := p.settled()
	return err
}

// settled returns the policy with its defaults, or what is wrong with it.
func (p Policy) settled() (Policy, error) {
	p.UserVerification = or(p.UserVerification, Required)
	p.ResidentKey = or(p.ResidentKey, Required)
	p.Attestation = or(p.Attestation, AttestationNone)
	p.Timeout = or(p.Timeout, DefaultTimeout)
	if len(p.Algorithms) == 0 {
		p.Algorithms = []Algorithm{EdDSA, ES256, RS256}
	}
	if p.Attestation == AttestationDirect && len(p.AllowedFormats) == 0 {
		p.AllowedFormats = formats
	}

	requirements := []Requirement{Required, Preferred, Discouraged}
	switch {
	case !slices.Contains(requirements, p.UserVerification):
		return p, fault.Field("policy.user_verification", "in", "not a requirement")
	case !slices.Contains(requirements, p.ResidentKey):
		return p, fault.Field("policy.resident_key", "in", "not a requirement")
	case p.Attestation != AttestationNone && p.Attestation != AttestationDirect:
		return p, fault.Field("policy.attestation", "in", "neither none nor direct")
	case p.Attestation == AttestationNone && len(p.AllowedFormats) > 0:
		return p, fault.Field("policy.allowed_formats", "empty", "formats are chosen for direct attestation only")
	case p.Timeout < 0 || p.Timeout > time.Hour:
		return p, fault.Field("policy.timeout", "range", "not between 0 and an hour")
	}
	for _, f := range p.AllowedFormats {
		if !slices.Contains(formats, f) {
			return p, fault.Field("policy.allowed_formats", "in", "a format that cannot be verified")
		}
	}
	for _, a := range p.Algorithms {
		if _, ok := keyTypes[a]; !ok {
			return p, fault.Field("policy.algorithms", "in", "an algorithm that cannot be verified")
		}
	}
	return p, nil
}

// parameters are the offered algorithms as the library has them.
func parameters(algorithms []Algorithm) []protocol.CredentialParameter {
	out := make([]protocol.CredentialParameter, len(algorithms))
	for i, a := range algorithms {
		out[i] = protocol.CredentialParameter{
			Type:      protocol.PublicKeyCredentialType,
			Algorithm: webauthncose.COSEAlgorithmIdentifier(a),
		}
	}
	return out
}

// or returns the value, or what absence means.
func or[T comparable](value, absent T) T {
	var zero T
	if value == zero {
		return absent
	}
	return value
}

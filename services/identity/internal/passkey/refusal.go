package passkey

// Rule names what a response broke.
type Rule string

// The rules.
const (
	// RuleSize: the response is larger than MaxResponse.
	RuleSize Rule = "size"
	// RuleMalformed: the response, its client data, attestation object or
	// authenticator data is not what WebAuthn writes.
	RuleMalformed Rule = "malformed"
	// RuleExpired: the ceremony took too long.
	RuleExpired Rule = "expired"
	// RuleType: the response is of the other ceremony.
	RuleType Rule = "type"
	// RuleChallenge: the response answers another challenge.
	RuleChallenge Rule = "challenge"
	// RuleOrigin: the client was at an origin that is not the relying party's.
	RuleOrigin Rule = "origin"
	// RuleCrossOrigin: the client was in a frame, which is not expected.
	RuleCrossOrigin Rule = "cross_origin"
	// RuleTopOrigin: the page around the frame is not an expected one.
	RuleTopOrigin Rule = "top_origin"
	// RuleRPID: the credential is of another relying party.
	RuleRPID Rule = "rp_id"
	// RuleUserPresence: the authenticator did not see the user.
	RuleUserPresence Rule = "user_presence"
	// RuleUserVerification: the authenticator did not verify the user.
	RuleUserVerification Rule = "user_verification"
	// RuleBackup: backed up without being eligible for it, or the eligibility is
	// another than at registration.
	RuleBackup Rule = "backup"
	// RuleAlgorithm: the key is of an algorithm that was not offered.
	RuleAlgorithm Rule = "algorithm"
	// RulePublicKey: the key is not a usable one of its algorithm.
	RulePublicKey Rule = "public_key"
	// RuleCredentialID: the credential id is empty, too long, or not the same in
	// all places.
	RuleCredentialID Rule = "credential_id"
	// RuleExcluded: the credential was registered before.
	RuleExcluded Rule = "excluded"
	// RuleResidentKey: a discoverable credential is required, and the client
	// reports that it is none.
	RuleResidentKey Rule = "resident_key"
	// RuleAttestationFormat: the policy does not allow the attestation's format.
	RuleAttestationFormat Rule = "attestation_format"
	// RuleAttestation: the attestation statement does not verify.
	RuleAttestation Rule = "attestation"
	// RuleAttestationTrust: the attestation chains to none of the roots.
	RuleAttestationTrust Rule = "attestation_trust"
	// RuleCredential: the credential is unknown, or not among the allowed ones.
	RuleCredential Rule = "credential"
	// RuleUserHandle: the credential is another user's, or the response names no user.
	RuleUserHandle Rule = "user_handle"
	// RuleSignature: the signature does not verify.
	RuleSignature Rule = "signature"
	// RuleSignCount: the signature counter regressed. FinishAssertion does not
	// return it: see Assertion.CountRegressed.
	RuleSignCount Rule = "sign_count"
)

// Refusal is the error for a response that breaks a rule. It quotes nothing of
// the response. Two refusals of one rule are equal, so errors.Is finds one.
type Refusal struct { //nolint:errname // a refusal is a decision; its name says so in every message
	Rule Rule
}

func (r Refusal) Error() string { return "credential refused: " + string(r.Rule) }

// refuse returns the refusal of a rule.
func refuse(rule Rule) error { return Refusal{Rule: rule} }

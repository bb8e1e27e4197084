package passkey

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
)

// Ceremony is one of the two.
type Ceremony string

// The ceremonies, as client data names them.
const (
	Registration Ceremony = "webauthn.create"
	Assertions   Ceremony = "webauthn.get"
)

// State is what a relying party remembers of a ceremony that began: for one
// use, and never in the hands of the client. It holds no secret.
type State struct {
	Ceremony  Ceremony  `json:"ceremony"`
	RPID      string    `json:"rp_id"`
	Challenge []byte    `json:"challenge"`
	ExpiresAt time.Time `json:"expires_at"`
	// UserHandle is the user of a registration.
	UserHandle []byte `json:"user_handle,omitempty"`
	// Credentials are the excluded ones of a registration, the allowed ones of an
	// assertion. An assertion without allowed ones is discoverable.
	Credentials      [][]byte    `json:"credentials,omitempty"`
	UserVerification Requirement `json:"user_verification"`
	ResidentKey      Requirement `json:"resident_key,omitempty"`
	Attestation      Attestation `json:"attestation,omitempty"`
	AllowedFormats   []string    `json:"allowed_formats,omitempty"`
	Algorithms       []Algorithm `json:"algorithms,omitempty"`
}

// ErrState is returned for bytes that Encode did not make.
var ErrState = errors.New("not the state of a ceremony")

// Encode returns the state as JSON. It is larger by each credential's id.
func (s State) Encode() ([]byte, error) { return json.Marshal(s) }

// DecodeState reverses Encode.
//
// Errors: ErrState.
func DecodeState(data []byte) (State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, errors.Join(ErrState, err)
	}
	if (s.Ceremony != Registration && s.Ceremony != Assertions) || len(s.Challenge) < minChallenge {
		return State{}, ErrState
	}
	return s, nil
}

// minChallenge is the least number of bytes of a challenge (section 13.4.3).
const minChallenge = 16

// begin returns the state that both ceremonies have.
func (r Relying) begin(now time.Time, c Ceremony, p Policy) (State, error) {
	challenge, err := protocol.CreateChallenge()
	if err != nil {
		return State{}, err
	}
	return State{
		Ceremony:         c,
		RPID:             r.ID,
		Challenge:        challenge,
		ExpiresAt:        now.Add(p.Timeout),
		UserVerification: p.UserVerification,
	}, nil
}

// check refuses a response that comes too late or belongs elsewhere.
func (r Relying) check(now time.Time, s State, c Ceremony, response []byte) error {
	switch {
	case len(response) > MaxResponse:
		return refuse(RuleSize)
	case s.Ceremony != c:
		return refuse(RuleType)
	case s.RPID != r.ID:
		return refuse(RuleRPID)
	case len(s.Challenge) < minChallenge:
		return refuse(RuleChallenge)
	case !now.Before(s.ExpiresAt):
		return refuse(RuleExpired)
	}
	return nil
}

// verifies says whether the user must be verified: unless it is said that need not be.
func (s State) verifies() bool {
	return s.UserVerification != Preferred && s.UserVerification != Discouraged
}

// encoded is the challenge as client data has it.
func (s State) encoded() string { return base64.RawURLEncoding.EncodeToString(s.Challenge) }

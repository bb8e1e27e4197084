package passkey_test

import (
	"errors"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

// device is a virtual authenticator with one credential of alice's.
type device struct {
	relying       virtualwebauthn.RelyingParty
	authenticator virtualwebauthn.Authenticator
	key           virtualwebauthn.Credential
}

func newDevice(kind virtualwebauthn.KeyType) device {
	d := device{
		relying:       virtualwebauthn.RelyingParty{ID: "example.org", Name: "Example", Origin: "https://example.org"},
		authenticator: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: alice.ID, BackupEligible: true}),
		key:           newKey(kind),
	}
	d.authenticator.AddCredential(d.key)
	return d
}

// newKey makes a key. The library leaves out the zeros that a coordinate of an elliptic
// curve begins with, one time in 128, which no authenticator does: such a key is
// thrown away.
func newKey(kind virtualwebauthn.KeyType) virtualwebauthn.Credential {
	const whole = 77 // bytes of a COSE key on P-256
	for {
		made := virtualwebauthn.NewCredential(kind)
		if kind != virtualwebauthn.KeyTypeEC2 || len(made.Key.AttestationData()) == whole {
			return made
		}
	}
}

// register registers the device's credential.
func (d *device) register(t testing.TB, r passkey.Relying, p passkey.Policy) passkey.Credential {
	t.Helper()
	options, s, err := r.BeginRegistration(at, alice, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAttestationOptions(`{"publicKey":` + string(options) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	sent := virtualwebauthn.CreateAttestationResponse(d.relying, d.authenticator, d.key, *parsed)
	c, err := r.FinishRegistration(at, kept(t, s), []byte(sent))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sign asks the device for an assertion with a counter.
func (d *device) sign(t testing.TB, r passkey.Relying, allow []passkey.Credential, count uint32) (passkey.State, []byte) {
	t.Helper()
	options, s, err := r.BeginAssertion(at, allow, passkey.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAssertionOptions(`{"publicKey":` + string(options) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	d.key.Counter = count
	return kept(t, s), []byte(virtualwebauthn.CreateAssertionResponse(d.relying, d.authenticator, d.key, *parsed))
}

func TestRoundTrips(t *testing.T) {
	for name, kind := range map[string]virtualwebauthn.KeyType{"ES256": virtualwebauthn.KeyTypeEC2, "RS256": virtualwebauthn.KeyTypeRSA} {
		for _, attestation := range []passkey.Attestation{passkey.AttestationNone, passkey.AttestationDirect} {
			t.Run(name+"/"+string(attestation), func(t *testing.T) {
				r, d := relying(), newDevice(kind)
				known := d.register(t, r, passkey.Policy{Attestation: attestation})
				for _, allow := range [][]passkey.Credential{nil, {known}} {
					s, sent := d.sign(t, r, allow, 5)
					got, err := r.FinishAssertion(at, s, sent, holds(known))
					if err != nil {
						t.Fatal(err)
					}
					if !got.UserVerified || got.CountRegressed || got.Credential.SignCount != 5 {
						t.Errorf("got %+v", got)
					}
				}
			})
		}
	}
}

func TestSignCount(t *testing.T) {
	for name, c := range map[string]struct {
		stored, sent, want uint32
		regressed          bool
	}{
		"does not count": {0, 0, 0, false},
		"first count":    {0, 1, 1, false},
		"rises":          {5, 6, 6, false},
		"leaps":          {5, 1 << 31, 1 << 31, false},
		"stays":          {5, 5, 5, true},
		"falls":          {5, 4, 5, true},
		"stops to count": {5, 0, 5, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, d := relying(), newDevice(virtualwebauthn.KeyTypeEC2)
			known := d.register(t, r, passkey.Policy{})
			known.SignCount = c.stored
			known.BackupState = true
			s, sent := d.sign(t, r, nil, c.sent)
			got, err := r.FinishAssertion(at, s, sent, holds(known))
			if err != nil {
				t.Fatal(err)
			}
			if got.CountRegressed != c.regressed || got.Credential.SignCount != c.want {
				t.Errorf("regressed %t, count %d", got.CountRegressed, got.Credential.SignCount)
			}
			if got.Credential.BackupState != c.regressed {
				t.Errorf("a regressed assertion changes nothing, another one changes the backup state: got %t", got.Credential.BackupState)
			}
		})
	}
}

// A forged assertion with a low counter is refused for its signature: it must
// not look like a clone.
func TestForgedRegressionIsRefused(t *testing.T) {
	r, d, other := relying(), newDevice(virtualwebauthn.KeyTypeEC2), newDevice(virtualwebauthn.KeyTypeEC2)
	known := d.register(t, r, passkey.Policy{})
	known.SignCount = 9
	other.key.ID = d.key.ID
	s, sent := other.sign(t, r, nil, 1)
	_, err := r.FinishAssertion(at, s, sent, holds(known))
	mustRefuse(t, err, passkey.RuleSignature)
}

func TestAllowedCredentials(t *testing.T) {
	r, d := relying(), newDevice(virtualwebauthn.KeyTypeEC2)
	known := d.register(t, r, passkey.Policy{})
	other := known
	other.ID = []byte("other")
	s, sent := d.sign(t, r, []passkey.Credential{known}, 1)
	s.Credentials = [][]byte{other.ID}
	_, err := r.FinishAssertion(at, s, sent, holds(known))
	mustRefuse(t, err, passkey.RuleCredential)

	_, _, err = r.BeginAssertion(at, []passkey.Credential{}, passkey.Policy{})
	if f, ok := fault.As(err); !ok || f.Meta["field"] != "allow" {
		t.Errorf("no allowed credential: %v", err)
	}
}

func TestLookup(t *testing.T) {
	r, d := relying(), newDevice(virtualwebauthn.KeyTypeEC2)
	known := d.register(t, r, passkey.Policy{})
	broken := errors.New("no database")
	for name, c := range map[string]struct {
		lookup passkey.Lookup
		want   error
	}{
		"unknown": {func(_, _ []byte) (passkey.Credential, error) {
			return passkey.Credential{}, passkey.Refusal{Rule: passkey.RuleCredential}
		}, passkey.Refusal{Rule: passkey.RuleCredential}},
		"fails":              {func(_, _ []byte) (passkey.Credential, error) { return passkey.Credential{}, broken }, broken},
		"another credential": {func(_, _ []byte) (passkey.Credential, error) { return passkey.Credential{}, nil }, passkey.Refusal{Rule: passkey.RuleCredential}},
		"another user": {func(_, _ []byte) (passkey.Credential, error) {
			c := known
			c.UserHandle = []byte("bob")
			return c, nil
		}, passkey.Refusal{Rule: passkey.RuleUserHandle}},
	} {
		t.Run(name, func(t *testing.T) {
			s, sent := d.sign(t, r, nil, 1)
			if _, err := r.FinishAssertion(at, s, sent, c.lookup); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestRequestOptions(t *testing.T) {
	r := relying()
	options, s, err := r.BeginAssertion(at, nil, passkey.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"challenge":"` + b64(s.Challenge) + `","timeout":300000,"rpId":"example.org","userVerification":"required"}`; string(options) != want {
		t.Errorf("got %s, want %s", options, want)
	}
	options, s, err = r.BeginAssertion(at, []passkey.Credential{{ID: []byte("known"), Transports: []string{"nfc"}}}, passkey.Policy{UserVerification: passkey.Preferred})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"challenge":"` + b64(s.Challenge) + `","timeout":300000,"rpId":"example.org","allowCredentials":[{"type":"public-key","id":"a25vd24","transports":["nfc"]}],"userVerification":"preferred"}`
	if string(options) != want {
		t.Errorf("got %s, want %s", options, want)
	}
}

package passkey_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

// one is the private key of p256.
func one(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	d := make([]byte, 32)
	d[31] = 1
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A response is refused or makes a credential, never both and never neither.
func FuzzRegistration(f *testing.F) {
	r := relying()
	policies := []passkey.Policy{
		{Algorithms: everyAlgorithm, UserVerification: passkey.Preferred},
		{Algorithms: everyAlgorithm, UserVerification: passkey.Preferred, Attestation: passkey.AttestationDirect},
	}
	challenge := make([]byte, 32)
	all, _ := vectors(f)
	for i := range policies {
		for _, v := range all {
			f.Add(i, unhex(f, v.Registration["challenge"]), v.registration(f).json())
		}
		s := passkey.State{Challenge: challenge}
		f.Add(i, challenge, created(s, []byte{1}, noneObject(f, r.ID, flagUP|flagUV, []byte{1}, 0)).json())
	}
	f.Fuzz(func(t *testing.T, policy int, challenge, sent []byte) {
		_, s, err := r.BeginRegistration(at, alice, nil, policies[uint(policy)%2])
		if err != nil {
			t.Fatal(err)
		}
		s.Challenge = challenge
		got, err := r.FinishRegistration(at, s, sent)
		if _, refused := asRefusal(err); refused != (err != nil) || refused != (len(got.ID) == 0) {
			t.Fatalf("got %+v, %v", got, err)
		}
		if err != nil {
			return
		}
		if len(got.ID) > passkey.MaxCredentialID || len(got.PublicKey) > passkey.MaxPublicKey || len(sent) > passkey.MaxResponse || len(challenge) < 16 {
			t.Errorf("accepted %+v", got)
		}
		if got.BackupState && !got.BackupEligible {
			t.Error("backed up without being eligible")
		}
	})
}

// What is accepted is signed by the credential's key: that is verified here
// once more, without the library.
func FuzzAssertion(f *testing.F) {
	r, key := relying(), one(f)
	encoded, err := cbor.Marshal(p256)
	if err != nil {
		f.Fatal(err)
	}
	known := passkey.Credential{ID: []byte{1}, UserHandle: alice.ID, RPID: r.ID, PublicKey: encoded, Algorithm: passkey.ES256, SignCount: 3}
	challenge := make([]byte, 32)
	for count := range uint32(5) {
		hash := sha256.Sum256([]byte(r.ID))
		a := assertion{id: known.ID, userHandle: alice.ID, authenticatorData: binary.BigEndian.AppendUint32(append(hash[:], flagUP|flagUV), count)}
		a.clientData = fmt.Appendf(nil, `{"type":"webauthn.get","challenge":"%s","origin":"https://example.org"}`, b64(challenge))
		digest := signed(a.authenticatorData, a.clientData)
		if a.signature, err = ecdsa.SignASN1(rand.Reader, key, digest); err != nil {
			f.Fatal(err)
		}
		f.Add(challenge, a.json())
	}
	all, _ := vectors(f)
	for _, v := range all {
		f.Add(unhex(f, v.Authentication["challenge"]), v.assertion(f).json())
	}
	f.Fuzz(func(t *testing.T, challenge, sent []byte) {
		_, s, err := r.BeginAssertion(at, nil, passkey.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		s.Challenge = challenge
		got, err := r.FinishAssertion(at, s, sent, holds(known))
		if _, refused := asRefusal(err); refused != (err != nil) || refused != (len(got.Credential.ID) == 0) {
			t.Fatalf("got %+v, %v", got, err)
		}
		if err != nil {
			return
		}
		var a struct {
			Response struct {
				ClientDataJSON    string `json:"clientDataJSON"`
				AuthenticatorData string `json:"authenticatorData"`
				Signature         string `json:"signature"`
			} `json:"response"`
		}
		if err := json.Unmarshal(sent, &a); err != nil {
			t.Fatal(err)
		}
		if !ecdsa.VerifyASN1(&key.PublicKey, signed(unb64(t, a.Response.AuthenticatorData), unb64(t, a.Response.ClientDataJSON)), unb64(t, a.Response.Signature)) {
			t.Error("accepted what is not signed")
		}
		if !got.UserVerified || got.Credential.SignCount < known.SignCount || got.CountRegressed != (got.Credential.SignCount == known.SignCount) {
			t.Errorf("accepted %+v", got)
		}
	})
}

// signed is the hash of what an authenticator signs.
func signed(data, clientData []byte) []byte {
	hash := sha256.Sum256(clientData)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	return digest[:]
}

func unb64(t testing.TB, text string) []byte {
	t.Helper()
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	out, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

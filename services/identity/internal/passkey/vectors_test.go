package passkey_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

// notTested: the published vectors are absent.
var notTested atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	if notTested.Load() {
		fmt.Println("NOT TESTED: the WebAuthn vectors are absent; MERIDIAN_SHARED names the folder that has vectors")
	}
	os.Exit(code)
}

// at is when all ceremonies of these tests happen.
var at = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// vector is one published registration with an assertion of its credential.
type vector struct {
	Anchor         string            `json:"anchor"`
	Registration   map[string]string `json:"registration"`
	Authentication map[string]string `json:"authentication"`
	Other          map[string]string `json:"other"`
}

// vectors reads the published vectors of WebAuthn Level 3 from the folder of
// shared vectors: $MERIDIAN_SHARED, or shared beside the repository. Where they
// are not, nothing is tested, and the end of the output says so.
func vectors(t testing.TB) (all []vector, root *x509.Certificate) {
	t.Helper()
	shared := os.Getenv("MERIDIAN_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(shared, "vectors", "webauthn", "webauthn-l3-test-vectors.json"))
	if os.IsNotExist(err) {
		notTested.Store(true)
		t.Logf("NOT TESTED: the published vectors are not on this machine (set MERIDIAN_SHARED): %v", err)
		return nil, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Vectors {
		if der, ok := v.Other["attestation_ca_cert"]; ok {
			if root, err = x509.ParseCertificate(unhex(t, der)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		all = append(all, v)
	}
	if len(all) == 0 || root == nil {
		t.Fatal("no vector, or no root, was published")
	}
	return all, root
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	out, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// relying is the relying party of the vectors.
func relying() passkey.Relying {
	return passkey.Relying{
		ID: "example.org", Name: "Example", Origins: []string{"https://example.org"},
		CrossOrigin: true, TopOrigins: []string{"https://example.com"},
	}
}

var alice = passkey.User{ID: []byte("alice"), Name: "alice@example.org", DisplayName: "Alice"}

var everyAlgorithm = []passkey.Algorithm{passkey.EdDSA, passkey.ES256, passkey.ES384, passkey.ES512, passkey.RS256}

// registration is what a browser sends after create().
type registration struct{ id, clientData, attestationObject []byte }

func (r registration) json() []byte {
	return response(r.id, map[string]any{"clientDataJSON": b64(r.clientData), "attestationObject": b64(r.attestationObject), "transports": []string{"usb", "internal"}})
}

// assertion is what a browser sends after get().
type assertion struct{ id, clientData, authenticatorData, signature, userHandle []byte }

func (a assertion) json() []byte {
	return response(a.id, map[string]any{
		"clientDataJSON": b64(a.clientData), "authenticatorData": b64(a.authenticatorData), "signature": b64(a.signature), "userHandle": b64(a.userHandle),
	})
}

func response(id []byte, inner map[string]any) []byte {
	out, err := json.Marshal(map[string]any{"id": b64(id), "rawId": b64(id), "type": "public-key", "response": inner, "clientExtensionResults": map[string]any{}})
	if err != nil {
		panic(err)
	}
	return out
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func (v vector) registration(t testing.TB) registration {
	return registration{
		id:                unhex(t, v.Registration["credential_id"]),
		clientData:        unhex(t, v.Registration["clientDataJSON"]),
		attestationObject: unhex(t, v.Registration["attestationObject"]),
	}
}

func (v vector) assertion(t testing.TB) assertion {
	return assertion{
		id:                unhex(t, v.Registration["credential_id"]),
		clientData:        unhex(t, v.Authentication["clientDataJSON"]),
		authenticatorData: unhex(t, v.Authentication["authenticatorData"]),
		signature:         unhex(t, v.Authentication["signature"]),
		userHandle:        alice.ID,
	}
}

// object is an attestation object that can be changed.
type object struct {
	Format    string          `cbor:"fmt"`
	Statement cbor.RawMessage `cbor:"attStmt"`
	Data      []byte          `cbor:"authData"`
}

func (r registration) object(t testing.TB) object {
	t.Helper()
	var o object
	if err := cbor.Unmarshal(r.attestationObject, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// with returns the registration with a changed attestation object.
func (r registration) with(t testing.TB, change func(*object)) registration {
	t.Helper()
	o := r.object(t)
	o.Data = bytes.Clone(o.Data)
	change(&o)
	encoded, err := cbor.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	r.attestationObject = encoded
	return r
}

// The place of the flags in authenticator data, and the flags.
const (
	flagsAt = 32
	flagUP  = 1
	flagUV  = 4
	flagBE  = 8
	flagBS  = 16
)

// verification is the strictest that the authenticator data fulfils.
func verification(data []byte) passkey.Requirement {
	if data[flagsAt]&flagUV != 0 {
		return passkey.Required
	}
	return passkey.Preferred
}

// began begins a registration and puts the vector's challenge in its place.
func (v vector) began(t testing.TB, r passkey.Relying, p passkey.Policy) passkey.State {
	t.Helper()
	_, s, err := r.BeginRegistration(at, alice, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	s.Challenge = unhex(t, v.Registration["challenge"])
	return kept(t, s)
}

// asked begins an assertion and puts the vector's challenge in its place.
func (v vector) asked(t testing.TB, r passkey.Relying, allow []passkey.Credential, p passkey.Policy) passkey.State {
	t.Helper()
	_, s, err := r.BeginAssertion(at, allow, p)
	if err != nil {
		t.Fatal(err)
	}
	s.Challenge = unhex(t, v.Authentication["challenge"])
	return kept(t, s)
}

// kept writes a state down and reads it back, as every caller does.
func kept(t testing.TB, s passkey.State) passkey.State {
	t.Helper()
	row, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := passkey.DecodeState(row)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// holds returns a lookup that knows one credential.
func holds(c passkey.Credential) passkey.Lookup {
	return func(_, id []byte) (passkey.Credential, error) {
		if !bytes.Equal(id, c.ID) {
			return passkey.Credential{}, passkey.Refusal{Rule: passkey.RuleCredential}
		}
		return c, nil
	}
}

func mustRefuse(t testing.TB, err error, want passkey.Rule) {
	t.Helper()
	if !errors.Is(err, passkey.Refusal{Rule: want}) {
		t.Errorf("got %v, want a refusal of %s", err, want)
	}
}

// refused are the published vectors whose attestation is refused when direct
// attestation is asked for, and why. All others verify.
var refused = map[string]struct {
	rule passkey.Rule
	why  string
}{
	"sctn-test-vectors-packed-ed448":      {passkey.RuleAlgorithm, "Ed448 is not offered: the library does not verify it"},
	"sctn-test-vectors-tpm-es256":         {passkey.RuleAttestation, "the library accepts registered makers of TPMs only, and the vector's is 00000000; TestTPM has another"},
	"sctn-test-vectors-android-key-es256": {passkey.RuleAttestation, "the library accepts Google's roots only, and the vector has a test root"},
	"sctn-test-vectors-apple-es256":       {passkey.RuleAttestation, "the library accepts Apple's root only, and the vector has a test root"},
}

// direct is the policy under which a vector's registration is judged.
func (v vector) direct(t testing.TB) passkey.Policy {
	data := v.registration(t).object(t).Data
	return passkey.Policy{UserVerification: verification(data), Attestation: passkey.AttestationDirect, Algorithms: everyAlgorithm}
}

// credential is the vector's credential: the registered one, or, where the
// attestation is refused, what registers after it is taken away as a client does
// it for a relying party that asks for none.
func (v vector) credential(t testing.TB) passkey.Credential {
	t.Helper()
	r := relying()
	bare := v.registration(t).with(t, func(o *object) { o.Format, o.Statement = "none", cbor.RawMessage{0xa0} })
	policy := v.direct(t)
	policy.Attestation = passkey.AttestationNone
	c, err := r.FinishRegistration(at, v.began(t, r, policy), bare.json())
	if err != nil {
		t.Fatalf("without attestation: %v", err)
	}
	return c
}

func TestPublishedRegistrations(t *testing.T) {
	all, root := vectors(t)
	verified, trusted := 0, 0
	for _, v := range all {
		t.Run(strings.TrimPrefix(v.Anchor, "sctn-test-vectors-"), func(t *testing.T) {
			r, sent := relying(), v.registration(t)
			got, err := r.FinishRegistration(at, v.began(t, r, v.direct(t)), sent.json())
			if want, ok := refused[v.Anchor]; ok {
				t.Logf("refused: %s", want.why)
				mustRefuse(t, err, want.rule)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			verified++
			flags := sent.object(t).Data[flagsAt]
			want := passkey.Credential{
				ID: sent.id, UserHandle: alice.ID, RPID: "example.org", PublicKey: got.PublicKey, Algorithm: got.Algorithm, AAGUID: got.AAGUID,
				Transports: []string{"internal", "usb"}, BackupEligible: flags&flagBE != 0, BackupState: flags&flagBS != 0,
				UserVerified: flags&flagUV != 0, AttestationFormat: sent.object(t).Format,
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if hex.EncodeToString(got.AAGUID[:]) != v.Registration["aaguid"] {
				t.Errorf("AAGUID %s, want %s", got.AAGUID, v.Registration["aaguid"])
			}
			if trustedBy(t, v, root) {
				trusted++
			}
		})
	}
	t.Logf("%d vectors, %d registrations accepted, %d of them with a chain to the published root", len(all), verified, trusted)
}

// trustedBy says whether a relying party with the root trusts the attestation;
// what has no chain it must refuse, and so must one with another root.
func trustedBy(t *testing.T, v vector, root *x509.Certificate) bool {
	t.Helper()
	r, o := relying(), v.registration(t).object(t)
	r.Roots = x509.NewCertPool()
	_, other := r.FinishRegistration(at, v.began(t, r, v.direct(t)), v.registration(t).json())
	r.Roots.AddCert(root)
	c, err := r.FinishRegistration(at, v.began(t, r, v.direct(t)), v.registration(t).json())
	var statement map[string]any
	if err := cbor.Unmarshal(o.Statement, &statement); err != nil {
		t.Fatal(err)
	}
	_, chain := statement["x5c"]
	switch {
	case o.Format == "none":
		if err != nil || other != nil || c.Trusted {
			t.Errorf("no attestation, with roots: %v, trusted %t; with other roots: %v", err, c.Trusted, other)
		}
		return false
	case !chain:
		mustRefuse(t, err, passkey.RuleAttestationTrust)
		return false
	}
	mustRefuse(t, other, passkey.RuleAttestationTrust)
	if err != nil || !c.Trusted {
		t.Errorf("chain to the root: %v, trusted %t", err, c.Trusted)
	}
	return true
}

// A relying party that asks for no attestation gets none, or a self attestation.
func TestPublishedWithoutAttestation(t *testing.T) {
	all, _ := vectors(t)
	for _, v := range all {
		t.Run(strings.TrimPrefix(v.Anchor, "sctn-test-vectors-"), func(t *testing.T) {
			r, p := relying(), v.direct(t)
			p.Attestation = passkey.AttestationNone
			_, err := r.FinishRegistration(at, v.began(t, r, p), v.registration(t).json())
			format := v.registration(t).object(t).Format
			switch {
			case v.Anchor == "sctn-test-vectors-packed-ed448":
				mustRefuse(t, err, passkey.RuleAlgorithm)
			case format == "none", v.Anchor == "sctn-test-vectors-packed-self-es256":
				if err != nil {
					t.Error(err)
				}
			default:
				mustRefuse(t, err, passkey.RuleAttestationFormat)
			}
		})
	}
}

func TestPublishedAssertions(t *testing.T) {
	all, _ := vectors(t)
	count := 0
	for _, v := range all {
		if v.Anchor == "sctn-test-vectors-packed-ed448" {
			// No credential of it can be registered: see TestPublishedRegistrations.
			continue
		}
		t.Run(strings.TrimPrefix(v.Anchor, "sctn-test-vectors-"), func(t *testing.T) {
			r, known, sent := relying(), v.credential(t), v.assertion(t)
			flags := sent.authenticatorData[flagsAt]
			policy := passkey.Policy{UserVerification: verification(sent.authenticatorData)}
			for _, allow := range [][]passkey.Credential{nil, {known}} {
				got, err := r.FinishAssertion(at, v.asked(t, r, allow, policy), sent.json(), holds(known))
				if err != nil {
					t.Fatal(err)
				}
				want := known
				want.BackupState = flags&flagBS != 0
				if fmt.Sprintf("%+v", got.Credential) != fmt.Sprintf("%+v", want) || got.UserVerified != (flags&flagUV != 0) || got.CountRegressed {
					t.Errorf("got %+v", got)
				}
			}
			count++
			if flags&flagUV == 0 {
				_, err := r.FinishAssertion(at, v.asked(t, r, nil, passkey.Policy{}), sent.json(), holds(known))
				mustRefuse(t, err, passkey.RuleUserVerification)
			}
		})
	}
	t.Logf("%d published assertions verified", count)
}

// The key of the refused vector does not verify anything either.
func TestPublishedEd448(t *testing.T) {
	all, _ := vectors(t)
	i := slices.IndexFunc(all, func(v vector) bool { return v.Anchor == "sctn-test-vectors-packed-ed448" })
	if i < 0 {
		return
	}
	v, r := all[i], relying()
	data := v.registration(t).object(t).Data
	idLength := int(data[53])<<8 | int(data[54])
	known := passkey.Credential{ID: data[55 : 55+idLength], UserHandle: alice.ID, RPID: r.ID, PublicKey: data[55+idLength:], BackupEligible: data[flagsAt]&flagBE != 0}
	policy := passkey.Policy{UserVerification: passkey.Preferred}
	_, err := r.FinishAssertion(at, v.asked(t, r, nil, policy), v.assertion(t).json(), holds(known))
	mustRefuse(t, err, passkey.RuleSignature)
}

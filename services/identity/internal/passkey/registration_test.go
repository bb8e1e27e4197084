package passkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

func asRefusal(err error) (passkey.Refusal, bool) {
	var r passkey.Refusal
	ok := errors.As(err, &r)
	return r, ok
}

// p256 is the COSE key of P-256's base point.
var p256 = func() map[int]any {
	c := elliptic.P256().Params()
	return map[int]any{1: 2, 3: -7, -1: 1, -2: c.Gx.FillBytes(make([]byte, 32)), -3: c.Gy.FillBytes(make([]byte, 32))}
}()

// attested is an attestation object without attestation.
func attested(t testing.TB, rpID string, flags byte, id []byte, count uint32, key map[int]any) []byte {
	t.Helper()
	hash := sha256.Sum256([]byte(rpID))
	data := append(hash[:], flags|0x40)
	data = binary.BigEndian.AppendUint32(data, count)
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(id)))
	data = append(data, id...)
	encoded, err := cbor.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": append(data, encoded...)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// created is what a browser at example.org answers.
func created(s passkey.State, id, attestationObject []byte) registration {
	return registration{
		id: id, attestationObject: attestationObject,
		clientData: fmt.Appendf(nil, `{"type":"webauthn.create","challenge":"%s","origin":"https://example.org"}`, b64(s.Challenge)),
	}
}

func TestPublicKeys(t *testing.T) {
	with := func(changes map[int]any) map[int]any {
		out := maps.Clone(p256)
		maps.Copy(out, changes)
		return out
	}
	rsaKey := func(bits int, exponent ...byte) map[int]any {
		modulus := make([]byte, bits/8)
		modulus[0], modulus[len(modulus)-1] = 0x80, 1
		return map[int]any{1: 3, 3: -257, -1: modulus, -2: exponent}
	}
	for name, c := range map[string]struct {
		key  map[int]any
		want passkey.Rule
	}{
		"P-256":                       {p256, ""},
		"RSA of 2048 bits":            {rsaKey(2048, 1, 0, 1), ""},
		"Ed25519":                     {map[int]any{1: 1, 3: -8, -1: 6, -2: make([]byte, 32)}, ""},
		"not on the curve":            {with(map[int]any{-2: make([]byte, 32)}), passkey.RulePublicKey},
		"other curve":                 {with(map[int]any{-1: 2}), passkey.RulePublicKey},
		"no curve":                    {with(map[int]any{-1: 0}), passkey.RulePublicKey},
		"short coordinate":            {with(map[int]any{-2: []byte{1}}), passkey.RulePublicKey},
		"compressed":                  {with(map[int]any{-3: true}), passkey.RulePublicKey},
		"curve's key, RSA's name":     {with(map[int]any{3: -257}), passkey.RulePublicKey},
		"RSA's key, curve's name":     {map[int]any{1: 3, 3: -7, -1: rsaKey(2048, 3)[-1], -2: []byte{3}}, passkey.RulePublicKey},
		"no algorithm":                {map[int]any{1: 2}, passkey.RuleAlgorithm},
		"RSA with SHA-1":              {with(map[int]any{3: -65535}), passkey.RuleAlgorithm},
		"ES384, which is not offered": {with(map[int]any{3: -35}), passkey.RuleAlgorithm},
		"RSA of 1024 bits":            {rsaKey(1024, 1, 0, 1), passkey.RulePublicKey},
		"RSA of 16384 bits":           {rsaKey(16384, 1, 0, 1), passkey.RulePublicKey},
		"RSA with exponent 1":         {rsaKey(2048, 1), passkey.RulePublicKey},
		"RSA with exponent 2":         {rsaKey(2048, 2), passkey.RulePublicKey},
		"RSA with a huge exponent":    {rsaKey(2048, bytes.Repeat([]byte{255}, 64)...), passkey.RulePublicKey},
		"Ed25519 of 31 bytes":         {map[int]any{1: 1, 3: -8, -1: 6, -2: make([]byte, 31)}, passkey.RulePublicKey},
		"too long":                    {with(map[int]any{-70000: make([]byte, passkey.MaxPublicKey)}), passkey.RulePublicKey},
	} {
		t.Run(name, func(t *testing.T) {
			r := relying()
			_, s, err := r.BeginRegistration(at, alice, nil, passkey.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.FinishRegistration(at, s, created(s, []byte{1}, attested(t, r.ID, flagUP|flagUV, []byte{1}, 0, c.key)).json())
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			mustRefuse(t, err, c.want)
		})
	}
}

func TestRegistrationEdges(t *testing.T) {
	const verified = flagUP | flagUV
	for name, c := range map[string]struct {
		policy passkey.Policy
		id     []byte
		flags  byte
		change func(map[string]any)
		want   passkey.Rule
	}{
		"longest id":                         {id: make([]byte, 1023), flags: verified},
		"id too long":                        {id: make([]byte, 1024), flags: verified, want: passkey.RuleMalformed},
		"no id":                              {id: nil, flags: verified, want: passkey.RuleMalformed},
		"discoverable":                       {id: []byte{1}, flags: verified, change: props(true)},
		"required to be discoverable":        {id: []byte{1}, flags: verified, change: props(false), want: passkey.RuleResidentKey},
		"need not be discoverable":           {policy: passkey.Policy{ResidentKey: passkey.Preferred}, id: []byte{1}, flags: verified, change: props(false)},
		"user need not be verified":          {policy: passkey.Policy{UserVerification: passkey.Preferred}, id: []byte{1}, flags: flagUP},
		"verification is discouraged":        {policy: passkey.Policy{UserVerification: passkey.Discouraged}, id: []byte{1}, flags: flagUP},
		"user must be verified":              {id: []byte{1}, flags: flagUP, want: passkey.RuleUserVerification},
		"user must be present":               {policy: passkey.Policy{UserVerification: passkey.Discouraged}, id: []byte{1}, flags: flagUV, want: passkey.RuleUserPresence},
		"no attestation where it must be":    {policy: passkey.Policy{Attestation: passkey.AttestationDirect, AllowedFormats: []string{"packed"}}, id: []byte{1}, flags: verified, want: passkey.RuleAttestationFormat},
		"no attestation where it may be":     {policy: passkey.Policy{Attestation: passkey.AttestationDirect}, id: []byte{1}, flags: verified},
		"eligible for backup":                {id: []byte{1}, flags: verified | flagBE},
		"backed up":                          {id: []byte{1}, flags: verified | flagBE | flagBS},
		"extensions that nobody asked for":   {id: []byte{1}, flags: verified, change: func(m map[string]any) { m["clientExtensionResults"] = map[string]any{"appid": true, "x": 1} }},
		"not a public key":                   {id: []byte{1}, flags: verified, change: func(m map[string]any) { m["type"] = "password" }, want: passkey.RuleMalformed},
		"id and raw id differ":               {id: []byte{1}, flags: verified, change: func(m map[string]any) { m["id"] = b64([]byte{2}) }, want: passkey.RuleMalformed},
		"transport with other characters":    {id: []byte{1}, flags: verified, change: transports("usb\n"), want: passkey.RuleMalformed},
		"transport that is not known":        {id: []byte{1}, flags: verified, change: transports("carrier-pigeon")},
		"more transports than there ever be": {id: []byte{1}, flags: verified, change: transports(strings.Split(strings.Repeat("usb ", 16)+"nfc", " ")...), want: passkey.RuleMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := relying()
			_, s, err := r.BeginRegistration(at, alice, nil, c.policy)
			if err != nil {
				t.Fatal(err)
			}
			sent := created(kept(t, s), c.id, noneObject(t, r.ID, c.flags, c.id, 7)).json()
			if c.change != nil {
				sent = altered(t, sent, c.change)
			}
			got, err := r.FinishRegistration(at, s, sent)
			if c.want != "" {
				mustRefuse(t, err, c.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.SignCount != 7 || got.AttestationFormat != "none" || got.Trusted || got.UserVerified != (c.flags&flagUV != 0) || got.Discoverable != (name == "discoverable") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func props(rk bool) func(map[string]any) {
	return func(m map[string]any) {
		m["clientExtensionResults"] = map[string]any{"credProps": map[string]any{"rk": rk}}
	}
}

func transports(names ...string) func(map[string]any) {
	return func(m map[string]any) { m["response"].(map[string]any)["transports"] = names }
}

func altered(t testing.TB, sent []byte, change func(map[string]any)) []byte {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(sent, &members); err != nil {
		t.Fatal(err)
	}
	change(members)
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCreationOptions(t *testing.T) {
	r := relying()
	known := passkey.Credential{ID: []byte("known"), Transports: []string{"usb"}}
	options, s, err := r.BeginRegistration(at, alice, []passkey.Credential{known}, passkey.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"rp":{"name":"Example","id":"example.org"},"user":{"name":"alice@example.org","displayName":"Alice","id":"YWxpY2U"},` +
		`"challenge":"` + b64(s.Challenge) + `","pubKeyCredParams":[{"type":"public-key","alg":-8},{"type":"public-key","alg":-7},{"type":"public-key","alg":-257}],` +
		`"timeout":300000,"excludeCredentials":[{"type":"public-key","id":"a25vd24","transports":["usb"]}],` +
		`"authenticatorSelection":{"requireResidentKey":true,"residentKey":"required","userVerification":"required"},"attestation":"none","extensions":{"credProps":true}}`
	if string(options) != want {
		t.Errorf("got  %s\nwant %s", options, want)
	}
	if len(s.Challenge) != 32 || !s.ExpiresAt.Equal(at.Add(5*time.Minute)) {
		t.Errorf("state %+v", s)
	}
	_, again, err := r.BeginRegistration(at, alice, nil, passkey.Policy{})
	if err != nil || bytes.Equal(again.Challenge, s.Challenge) {
		t.Errorf("a challenge came twice, or %v", err)
	}

	options, _, err = r.BeginRegistration(at, alice, nil, passkey.Policy{Attestation: passkey.AttestationDirect, AllowedFormats: []string{"packed", "tpm"}})
	if err != nil || !bytes.Contains(options, []byte(`"attestation":"direct","attestationFormats":["packed","tpm"]`)) {
		t.Errorf("%s, %v", options, err)
	}
}

func TestInvalidArguments(t *testing.T) {
	many := slices.Repeat([]passkey.Credential{{ID: []byte{1}}}, 65)
	for name, c := range map[string]struct {
		change  func(*passkey.User, *passkey.Policy)
		exclude []passkey.Credential
		field   string
	}{
		"no user id":           {func(u *passkey.User, _ *passkey.Policy) { u.ID = nil }, nil, "user.id"},
		"long user id":         {func(u *passkey.User, _ *passkey.Policy) { u.ID = make([]byte, 65) }, nil, "user.id"},
		"no name":              {func(u *passkey.User, _ *passkey.Policy) { u.Name = "" }, nil, "user.name"},
		"name not UTF-8":       {func(u *passkey.User, _ *passkey.Policy) { u.Name = "\xff" }, nil, "user.name"},
		"long display name":    {func(u *passkey.User, _ *passkey.Policy) { u.DisplayName = strings.Repeat("a", 257) }, nil, "user.display_name"},
		"unknown requirement":  {func(_ *passkey.User, p *passkey.Policy) { p.UserVerification = "maybe" }, nil, "policy.user_verification"},
		"unknown resident key": {func(_ *passkey.User, p *passkey.Policy) { p.ResidentKey = "maybe" }, nil, "policy.resident_key"},
		"unknown attestation":  {func(_ *passkey.User, p *passkey.Policy) { p.Attestation = "enterprise" }, nil, "policy.attestation"},
		"formats without use":  {func(_ *passkey.User, p *passkey.Policy) { p.AllowedFormats = []string{"packed"} }, nil, "policy.allowed_formats"},
		"unknown format": {func(_ *passkey.User, p *passkey.Policy) {
			p.Attestation, p.AllowedFormats = passkey.AttestationDirect, []string{"compound"}
		}, nil, "policy.allowed_formats"},
		"algorithm that is unsafe": {func(_ *passkey.User, p *passkey.Policy) { p.Algorithms = []passkey.Algorithm{-65535} }, nil, "policy.algorithms"},
		"long timeout":             {func(_ *passkey.User, p *passkey.Policy) { p.Timeout = 2 * time.Hour }, nil, "policy.timeout"},
		"many credentials":         {func(*passkey.User, *passkey.Policy) {}, many, "exclude"},
		"credential without id":    {func(*passkey.User, *passkey.Policy) {}, []passkey.Credential{{}}, "exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			u, p := alice, passkey.Policy{}
			c.change(&u, &p)
			_, _, err := relying().BeginRegistration(at, u, c.exclude, p)
			if f, ok := fault.As(err); !ok || f.Meta["field"] != c.field {
				t.Errorf("got %v, want a fault of %s", err, c.field)
			}
		})
	}
}

// The published TPM attestation with a certificate of a registered maker: the
// vector's key is published, too.
func TestTPM(t *testing.T) {
	all, _ := vectors(t)
	i := slices.IndexFunc(all, func(v vector) bool { return v.Anchor == "sctn-test-vectors-tpm-es256" })
	if i < 0 {
		return
	}
	v, r := all[i], relying()
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	year := func(n int) time.Time { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC) }
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: year(2024), NotAfter: year(3024),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), unhex(t, v.Registration["attestation_private_key"]))
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: year(2024), NotAfter: year(3024), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}},
		ExtraExtensions:    []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: makerName(t, "id:FFFFF1D0")}},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, ca.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	sent := v.registration(t).with(t, func(o *object) {
		var statement map[string]any
		if err := cbor.Unmarshal(o.Statement, &statement); err != nil {
			t.Fatal(err)
		}
		statement["x5c"] = [][]byte{leafDER}
		if o.Statement, err = cbor.Marshal(statement); err != nil {
			t.Fatal(err)
		}
	})
	r.Roots = x509.NewCertPool()
	_, err = r.FinishRegistration(at, v.began(t, r, v.direct(t)), sent.json())
	mustRefuse(t, err, passkey.RuleAttestationTrust)
	parsed, err := x509.ParseCertificate(rootDER)
	if err != nil {
		t.Fatal(err)
	}
	r.Roots.AddCert(parsed)
	got, err := r.FinishRegistration(at, v.began(t, r, v.direct(t)), sent.json())
	if err != nil || got.AttestationFormat != "tpm" || !got.Trusted {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = r.FinishRegistration(year(3025), withExpiry(v.began(t, r, v.direct(t)), year(3026)), sent.json())
	mustRefuse(t, err, passkey.RuleAttestationTrust)
}

func withExpiry(s passkey.State, end time.Time) passkey.State {
	s.ExpiresAt = end
	return s
}

// makerName is the alternative name of a TPM: its maker, model and version.
func makerName(t *testing.T, maker string) []byte {
	t.Helper()
	attribute := func(last int, value string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 23, 133, 2, last}, Value: value}
	}
	name, err := asn1.Marshal(pkix.RDNSequence{{attribute(1, maker), attribute(2, "test"), attribute(3, "id:00000000")}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

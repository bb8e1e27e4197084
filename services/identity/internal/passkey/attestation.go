package passkey

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// The sizes of RSA keys, in bits. Larger ones cost too much to use.
const (
	minRSA = 2048
	maxRSA = 8192
)

// maxChain is how many certificates an attestation has.
const maxChain = 8

// checkKey checks a new credential's public key, and returns its algorithm,
// which is one of the offered. The library parses the key only when it verifies
// a signature, which the format "none" does not have.
//
// Source: section 7.1 step 20, section 5.8.5.
func checkKey(key []byte, offered []Algorithm) (Algorithm, error) {
	if len(key) > MaxPublicKey {
		return 0, refuse(RulePublicKey)
	}
	// Only the algorithm and the type are read before the algorithm is known to
	// be an offered one.
	head, err := keyHead(key)
	if err != nil {
		return 0, err
	}
	algorithm := Algorithm(head.Algorithm)
	if !slices.Contains(offered, algorithm) {
		return 0, refuse(RuleAlgorithm)
	}
	if keyTypes[algorithm] != webauthncose.COSEKeyType(head.KeyType) {
		return 0, refuse(RulePublicKey)
	}
	parsed, err := webauthncose.ParsePublicKey(key)
	if err != nil {
		return 0, refuse(RulePublicKey)
	}
	if k, ok := parsed.(webauthncose.RSAPublicKeyData); ok {
		exponent, err := webauthncose.ParseRSAPublicKeyDataExponent(&k)
		if err != nil || !usable(new(big.Int).SetBytes(k.Modulus), exponent) {
			return 0, refuse(RulePublicKey)
		}
	}
	return algorithm, nil
}

// usable says whether an RSA key is neither weak nor costly.
func usable(modulus *big.Int, exponent int) bool {
	return modulus.BitLen() >= minRSA && modulus.BitLen() <= maxRSA && modulus.Bit(0) == 1 && exponent >= 3 && exponent%2 == 1
}

// checkAttestation verifies the attestation statement and says whether it chains
// to a root.
//
// Source: section 7.1 steps 22 to 25.
func (r Relying) checkAttestation(now time.Time, s State, parsed *protocol.ParsedCredentialCreationData) (trusted bool, err error) {
	object := parsed.Response.AttestationObject
	chain, err := certificates(object.AttStatement)
	if err != nil {
		return false, err
	}
	self := object.Format == FormatPacked && len(chain) == 0
	switch {
	case s.Attestation != AttestationDirect && object.Format != FormatNone && !self:
		return false, refuse(RuleAttestationFormat)
	case s.Attestation == AttestationDirect && !slices.Contains(s.AllowedFormats, object.Format):
		return false, refuse(RuleAttestationFormat)
	}
	// The library checks once more what was checked here, and then the statement.
	_, err = parsed.Verify(s.encoded(), r.ID, nil, r.origins(), r.TopOrigins, protocol.TopOriginExplicitVerificationMode, r.CrossOrigin,
		s.verifies(), true, nil, parameters(s.Algorithms), protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
	if err != nil {
		return false, refuse(RuleAttestation)
	}
	if s.Attestation != AttestationDirect || r.Roots == nil || object.Format == FormatNone {
		return false, nil
	}
	if len(chain) == 0 || !r.chains(now, object.Format, chain) {
		return false, refuse(RuleAttestationTrust)
	}
	return true, nil
}

// certificates reads the chain of a statement. All of the library's checks come
// later: a key that is costly to use is refused here.
func certificates(statement map[string]any) ([]*x509.Certificate, error) {
	value, present := statement["x5c"]
	if !present {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok || len(list) == 0 || len(list) > maxChain {
		return nil, refuse(RuleAttestation)
	}
	out := make([]*x509.Certificate, 0, len(list))
	for _, item := range list {
		der, ok := item.([]byte)
		if !ok {
			return nil, refuse(RuleAttestation)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse(RuleAttestation)
		}
		if k, isRSA := c.PublicKey.(*rsa.PublicKey); isRSA && !usable(k.N, k.E) {
			return nil, refuse(RuleAttestation)
		}
		out = append(out, c)
	}
	return out, nil
}

// alternativeName is the extension that a TPM's certificate marks critical and
// fills with the name of the TPM; the library reads it.
var alternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}

// chains says whether a chain leads to a root of the relying party.
func (r Relying) chains(now time.Time, format string, chain []*x509.Certificate) bool {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	leaf := *chain[0]
	if format == FormatTPM {
		leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), alternativeName.Equal)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: r.Roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// keyHead reads the type and the algorithm of a COSE key.
func keyHead(key []byte) (webauthncose.PublicKeyData, error) {
	var head webauthncose.PublicKeyData
	if err := webauthncbor.Unmarshal(key, &head); err != nil {
		return head, refuse(RulePublicKey)
	}
	return head, nil
}

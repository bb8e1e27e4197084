package jose

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// rocaPrimes are those by which the keys of a faulty chip can be told: each is a power
// of 65537 modulo every one of them, which another key is once in 2^27.
//
// Source: Nemec et al., "The Return of Coppersmith's Attack", 2017 (CVE-2017-15361).
var rocaPrimes = []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// factorable says whether a modulus was made by that chip: its factors can be computed.
func factorable(modulus *big.Int) bool {
	for _, prime := range rocaPrimes {
		rest := new(big.Int).Mod(modulus, big.NewInt(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			if found = power == rest; found {
				break
			}
			power = power * (65537 % prime) % prime
		}
		if !found {
			return false
		}
	}
	return true
}

// salted says whether the salt of an RSASSA-PSS signature, if it is one, is as long as
// the hash: go-jose takes any.
//
// Source: RFC 7518 section 3.5.
func salted(token string, key any, algorithm Algorithm) bool {
	hash := map[Algorithm]crypto.Hash{PS256: crypto.SHA256, jose.PS384: crypto.SHA384, jose.PS512: crypto.SHA512}[algorithm]
	if hash == 0 {
		return true
	}
	public, ok := key.(*rsa.PublicKey)
	at := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.Strict().DecodeString(token[at+1:])
	if !ok || err != nil {
		return false
	}
	digest := hash.New()
	_, _ = digest.Write([]byte(token[:at])) // never fails, by its contract
	return rsa.VerifyPSS(public, hash, digest.Sum(nil), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

// Package kms wraps private keys where they are stored: the seam to a key management
// service.
package kms

import (
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// Wrapper wraps and opens private keys. It is called outside of transactions.
type Wrapper interface {
	// Wrap encrypts the private key of a kid; Unwrap opens what Wrap returned for the
	// same kid.
	Wrap(kid string, private []byte) ([]byte, error)
	Unwrap(kid string, wrapped []byte) ([]byte, error)
}

// Local wraps with a key that this process has, as the regional key: any AEAD of Tink,
// that of a cloud's key management service too.
type Local struct{ AEAD tink.AEAD }

// bound is the associated data: a wrapped key is good under its own id only.
func bound(kid string) []byte { return []byte("meridian signing key " + kid) }

// Wrap implements Wrapper.
func (l Local) Wrap(kid string, private []byte) ([]byte, error) {
	wrapped, err := l.AEAD.Encrypt(private, bound(kid))
	if err != nil {
		return nil, fmt.Errorf("wrap signing key: %w", err)
	}
	return wrapped, nil
}

// Unwrap implements Wrapper.
func (l Local) Unwrap(kid string, wrapped []byte) ([]byte, error) {
	private, err := l.AEAD.Decrypt(wrapped, bound(kid))
	if err != nil {
		return nil, fmt.Errorf("unwrap signing key: %w", err)
	}
	return private, nil
}

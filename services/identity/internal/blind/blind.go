// Package blind makes blind indexes: what a unique index can compare, and what
// tells nothing about the personal data behind it to whoever has the database but
// not the key.
//
// Not hidden is that two rows of one purpose and realm hold the same. With the key
// a text can be guessed and tried, so it belongs with the keys, not the database.
package blind

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
)

const (
	keySize = 32
	// IndexSize is the length of an index in bytes.
	IndexSize = sha256.Size
)

// Key is the 32 random bytes that the regions of a deployment share; whoever
// changes it must build all indexes again. It prints as REDACTED. The zero Key
// makes no index.
type Key struct {
	// A function: whatever prints it, also as part of something else, has no byte
	// to show.
	mac func() hash.Hash
}

// NewKey makes a key from 32 bytes.
func NewKey(key []byte) (Key, error) {
	if len(key) != keySize {
		return Key{}, fmt.Errorf("blind index key: want %d bytes, have %d", keySize, len(key))
	}
	own := bytes.Clone(key)
	return Key{mac: func() hash.Hash { return hmac.New(sha256.New, own) }}, nil
}

// LoadKey reads a file that holds exactly the 32 bytes. A file that others than
// its owner can read or write is refused.
func LoadKey(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("blind index key: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Key{}, fmt.Errorf("blind index key: %w", err)
	case !info.Mode().IsRegular():
		return Key{}, fmt.Errorf("blind index key %s: not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return Key{}, fmt.Errorf("blind index key %s: mode is %04o and must be 0600", path, info.Mode().Perm())
	}
	key, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return Key{}, fmt.Errorf("blind index key: %w", err)
	}
	return NewKey(key)
}

// MakeKeyFile writes a random key to a new file, mode 0600. A file that exists is
// kept.
func MakeKeyFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("blind index key: %w", err)
	}
	var key [keySize]byte
	_, _ = rand.Read(key[:]) // never fails, by its contract
	_, err = f.Write(key[:])
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("blind index key: %w", err)
	}
	return nil
}

// IsZero says whether there is no key.
func (k Key) IsZero() bool { return k.mac == nil }

// Index returns the 32 bytes by which a text is found: HMAC-SHA-256 over the three
// parts, each after its length as 8 bytes, big endian. The purpose says what is
// indexed, as "email"; the realm within what it is unique, as an organization's id.
// The same text has other indexes for other purposes and realms, and nothing tells
// that they belong together. The text must be canonical already.
//
// It panics on the zero Key.
func (k Key) Index(purpose, realm, canonical string) []byte {
	if k.IsZero() {
		panic("blind: no key")
	}
	mac := k.mac()
	var length [8]byte
	for _, part := range []string{purpose, realm, canonical} {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

const redacted = "REDACTED"

// String implements fmt.Stringer.
func (Key) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Key) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the key out of JSON and YAML.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

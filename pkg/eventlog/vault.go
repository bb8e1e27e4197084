package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// maxKeyset is the size of the largest key file or wrapped key, in bytes.
const maxKeyset = 64 << 10

// Vault makes and opens the data keys of users whose home is its region. Each is an AES-256-GCM keyset
// of Tink, wrapped by the regional key with the user's id as associated data.
//
// Nothing is cached: an erased key is gone with the transaction that erases it.
type Vault struct{ wrapping tink.AEAD }

// NewVault returns a vault. wrapping is the regional key: LoadRegionalKey's, or
// the AEAD of a key management service (it is called inside transactions, so it
// should answer in milliseconds).
func NewVault(wrapping tink.AEAD) *Vault { return &Vault{wrapping: wrapping} }

// newKey makes a data key for a user and returns it plain and wrapped.
func (v *Vault) newKey(user string) (key tink.AEAD, wrapped []byte, err error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("make data key: %w", err)
	}
	var b bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), v.wrapping, []byte(user)); err != nil {
		return nil, nil, fmt.Errorf("wrap data key: %w", err)
	}
	key, err = aead.New(handle)
	if err != nil {
		return nil, nil, fmt.Errorf("use data key: %w", err)
	}
	return key, b.Bytes(), nil
}

// unwrap opens a user's data key.
func (v *Vault) unwrap(user string, wrapped []byte) (tink.AEAD, error) {
	if len(wrapped) > maxKeyset {
		return nil, errors.New("unwrap data key: too large")
	}
	reader := keyset.NewBinaryReader(bytes.NewReader(wrapped))
	handle, err := keyset.ReadWithAssociatedData(reader, v.wrapping, []byte(user))
	if err != nil {
		return nil, fmt.Errorf("unwrap data key: %w", err)
	}
	key, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use data key: %w", err)
	}
	return key, nil
}

// binding is the associated data of a ciphertext: it can be opened only as the
// data of this user in this event. Each part is prefixed with its length.
func binding(log string, sequence uint64, kind, user string) []byte {
	b := make([]byte, 0, 4*binary.MaxVarintLen64+len(log)+len(kind)+len(user))
	b = binary.AppendUvarint(b, uint64(len(log)))
	b = append(b, log...)
	b = binary.BigEndian.AppendUint64(b, sequence)
	b = binary.AppendUvarint(b, uint64(len(kind)))
	b = append(b, kind...)
	b = binary.AppendUvarint(b, uint64(len(user)))
	return append(b, user...)
}

// NewRegionalKey makes a regional key and writes it, as a Tink keyset in JSON,
// to a new file that only its owner can read (mode 0600). It never replaces a
// file: then the error is fs.ErrExist.
//
// Whoever loses this file loses all personal data of the region; whoever copies
// it can read that data.
func NewRegionalKey(path string) (tink.AEAD, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make regional key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("encode regional key: %w", err)
	}
	if err := writeNew(path, b.Bytes()); err != nil {
		return nil, fmt.Errorf("write regional key: %w", err)
	}
	key, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use regional key: %w", err)
	}
	return key, nil
}

// writeNew writes a file that must not exist yet, and makes it durable before
// anything is encrypted under it. The file appears under its name only whole.
func writeNew(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	// A hard link, unlike a rename, fails when the name is taken.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// LoadRegionalKey reads a file that NewRegionalKey wrote. A file that others
// than its owner can read or write is refused.
func LoadRegionalKey(path string) (tink.AEAD, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open regional key: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("open regional key: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxKeyset:
		return nil, fmt.Errorf("regional key %s: not a key file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("regional key %s: mode is %04o and must be 0600", path, info.Mode().Perm())
	}
	reader := keyset.NewJSONReader(io.LimitReader(f, maxKeyset))
	handle, err := insecurecleartextkeyset.Read(reader)
	if err != nil {
		// The cause could quote the file.
		return nil, fmt.Errorf("regional key %s: not a Tink keyset", path)
	}
	key, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("regional key %s: %w", path, err)
	}
	return key, nil
}

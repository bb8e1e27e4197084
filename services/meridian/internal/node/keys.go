package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/services/identity"
)

// MakeKeys makes the key files of a deployment in dir: service.key, blind.key and
// regional.json, mode 0600. Files that exist are kept. The first two are the same in
// all regions of a deployment.
func MakeKeys(dir string) (KeysConfig, error) {
	keys := KeysConfig{
		ServiceFile: filepath.Join(dir, "service.key"), RegionalFile: filepath.Join(dir, "regional.json"),
		BlindFile: filepath.Join(dir, "blind.key"),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return keys, fmt.Errorf("folder of keys: %w", err)
	}
	if err := makeServiceKey(keys.ServiceFile); err != nil {
		return keys, fmt.Errorf("service key: %w", err)
	}
	if err := identity.MakeBlindKey(keys.BlindFile); err != nil {
		return keys, err
	}
	if _, err := os.Stat(keys.RegionalFile); err == nil {
		return keys, nil
	}
	if _, err := eventlog.NewRegionalKey(keys.RegionalFile); err != nil {
		return keys, err
	}
	return keys, nil
}

// blindKey loads the key that addresses are found by, and that requests are
// fingerprinted with. Without one there are no users with an address, which is no
// reason not to start.
func (n *Node) blindKey(ctx context.Context) (err error) {
	switch {
	case n.config.Keys.BlindFile != "":
		n.blind, err = identity.LoadBlindKey(n.config.Keys.BlindFile)
	case n.config.hosts(Identity):
		n.telemetry.Log.WarnContext(ctx, "no user can be made or found by an address: keys.blind_file is absent")
	}
	return err
}

// fingerprint is the keyed hash of requests, or nil without a key.
func (n *Node) fingerprint() func(request []byte) []byte {
	if n.blind.IsZero() {
		return nil
	}
	return func(request []byte) []byte { return n.blind.Index("request", "", string(request)) }
}

func makeServiceKey(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails, by its contract
	_, err = f.Write(key[:])
	return errors.Join(err, f.Sync(), f.Close())
}

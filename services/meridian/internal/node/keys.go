package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// MakeKeys makes the key files of a deployment in dir: service.key and
// regional.json, mode 0600. Files that exist are kept.
func MakeKeys(dir string) (KeysConfig, error) {
	keys := KeysConfig{ServiceFile: filepath.Join(dir, "service.key"), RegionalFile: filepath.Join(dir, "regional.json")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return keys, fmt.Errorf("folder of keys: %w", err)
	}
	if err := makeServiceKey(keys.ServiceFile); err != nil {
		return keys, fmt.Errorf("service key: %w", err)
	}
	if _, err := os.Stat(keys.RegionalFile); err == nil {
		return keys, nil
	}
	if _, err := eventlog.NewRegionalKey(keys.RegionalFile); err != nil {
		return keys, err
	}
	return keys, nil
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

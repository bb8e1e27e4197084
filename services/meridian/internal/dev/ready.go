package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Ready is what dev.json says: where a running development deployment is and
// how to call it.
type Ready struct {
	URL          string `json:"url"`
	AdminToken   string `json:"admin_token"`
	Organization string `json:"organization"`
	PID          int    `json:"pid"`
	// Mail is the page where letters arrive; empty with several regions, which send
	// none.
	Mail string `json:"mail,omitempty"`
	// Regions are the URLs of the regions by their names, when there are several.
	Regions map[string]string `json:"regions,omitempty"`
	// Links is where the links between them can be cut and slowed: toxiproxy's API.
	Links string `json:"links,omitempty"`
}

// Has says whether the deployment answers at a URL.
func (r Ready) Has(url string) bool {
	return url == r.URL || slices.Contains(slices.Collect(maps.Values(r.Regions)), url)
}

func path(dir string) string { return filepath.Join(dir, "dev.json") }

// Read reads dev.json.
func Read(dir string) (Ready, error) {
	var r Ready
	content, err := os.ReadFile(path(dir))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path(dir), err)
	}
	return r, nil
}

// write writes dev.json whole: a reader sees the old one or the new one.
func write(dir string, r Ready) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, "dev.*.json")
	if err != nil {
		return err
	}
	_, err = temporary.Write(append(content, '\n'))
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path(dir))
}

// lock keeps a second `meridian dev` out of the folder.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another meridian uses %s; stop it, or choose another folder with --dir", dir)
	}
	return func() { _ = f.Close() }, nil
}

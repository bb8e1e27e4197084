package modeltest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const maxFiles = 100

// isStore says whether a file's name is that of a store file.
func isStore(name string) bool {
	return strings.HasSuffix(name, ".fga.yaml") || strings.HasSuffix(name, ".fga.yml")
}

// find returns the store files that paths name: files as they are, and all
// *.fga.yaml and *.fga.yml under folders, sorted, without hidden folders.
//
// Errors: a folder without such a file.
func find(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, path)
			continue
		}
		before := len(out)
		err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && name != path && strings.HasPrefix(entry.Name(), "."):
				return filepath.SkipDir
			case entry.Type().IsRegular() && isStore(name):
				out = append(out, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(out) == before {
			return nil, fmt.Errorf("%s has no file *.fga.yaml", path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// folder reads the files that belong to one store file. All lie under root.
type folder struct {
	root *os.Root
	// base is the store file's folder inside root, shown the one that messages
	// begin with.
	base, shown string
	read        int
}

// openFolder opens the folder of a store file, or the given one around it.
func openFolder(file, around string) (*folder, error) {
	shown := filepath.Dir(file)
	if around == "" {
		around = shown
	}
	base, err := within(around, shown)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(around)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, base: base, shown: shown}, nil
}

// within returns a folder's path relative to the one around it.
func within(around, inner string) (string, error) {
	a, err := filepath.Abs(around)
	if err != nil {
		return "", err
	}
	b, err := filepath.Abs(inner)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(a, b)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not inside %s", inner, around)
	}
	return rel, nil
}

// path is how messages name a file of the folder.
func (f *folder) path(name string) string { return filepath.Join(f.shown, filepath.FromSlash(name)) }

// content reads a file that is named relative to the store file.
//
// Errors: what is wrong with the file, for people.
func (f *folder) content(name string) ([]byte, error) {
	local := filepath.Join(f.base, filepath.FromSlash(name))
	if filepath.IsAbs(filepath.FromSlash(name)) || !filepath.IsLocal(local) {
		return nil, fmt.Errorf("file %s is outside the store's folder", quote(name))
	}
	if f.read++; f.read > maxFiles {
		return nil, fmt.Errorf("a store has at most %d files", maxFiles)
	}
	info, err := f.root.Stat(local)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("file %s does not exist", quote(name))
	case err != nil:
		// A link that leads out is refused with words of its own.
		return nil, fmt.Errorf("file %s cannot be read: %w", quote(name), reason(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", quote(name))
	}
	opened, err := f.root.Open(local)
	if err != nil {
		return nil, fmt.Errorf("file %s cannot be read: %w", quote(name), reason(err))
	}
	defer opened.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(opened, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("file %s cannot be read: %w", quote(name), reason(err))
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("file %s has more than %d bytes", quote(name), maxFileBytes)
	}
	return content, nil
}

// reason is an error of a file without the path, which messages have already.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

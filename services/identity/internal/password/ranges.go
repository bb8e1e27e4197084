package password

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	prefixDigits = 5
	// maxRange bounds a range file, of which real ones have about 80 kB.
	maxRange = 4 << 20
)

// ranges is a folder with a file for each prefix.
type ranges struct {
	folder    *os.Root
	extension string
}

// openRanges finds out how the files are called, by the first of them. A prefix
// without a file is an error when it is asked for: a whole list has them all.
func openRanges(path string) (*ranges, error) {
	folder, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	first := strings.Repeat("0", prefixDigits)
	for _, extension := range []string{".txt", ""} {
		r := &ranges{folder: folder, extension: extension}
		_, err := r.lines(first)
		switch {
		case err == nil:
			return r, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, errors.Join(err, folder.Close())
		}
	}
	return nil, errors.Join(errors.New("the folder has neither 00000.txt nor 00000"), folder.Close())
}

// Close implements io.Closer.
func (r *ranges) Close() error { return r.folder.Close() }

// count reads all of the prefix's file, so that no broken line is overlooked.
func (r *ranges) count(ctx context.Context, hash string) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	lines, err := r.lines(hash[:prefixDigits])
	if err != nil {
		return 0, err
	}
	return lines[hash[prefixDigits:]], nil
}

// inspect reads the files of all prefixes.
func (r *ranges) inspect(ctx context.Context) error {
	for i := range 1 << (4 * prefixDigits) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := r.lines(fmt.Sprintf("%0*X", prefixDigits, i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *ranges) lines(prefix string) (map[string]uint64, error) {
	name := prefix + r.extension
	file, err := r.folder.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxRange+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(content) == 0 || len(content) > maxRange {
		return nil, fmt.Errorf("%w: %s is empty or too long", errBroken, name)
	}
	text := strings.TrimSuffix(string(content), "\n")
	counts := make(map[string]uint64, strings.Count(text, "\n")+1)
	for line := range strings.SplitSeq(text, "\n") {
		suffix, n, ok := record(line, hashDigits-prefixDigits)
		if !ok {
			return nil, fmt.Errorf("%w: a line of %s is not SUFFIX:COUNT", errBroken, name)
		}
		counts[suffix] = max(n, counts[suffix])
	}
	return counts, nil
}

package password

import (
	"context"
	"crypto/sha1" //nolint:gosec // the lists hold SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Breached is a list of the SHA-1 of passwords that are known from breaches, on
// the local disk: nothing of a password goes over the network. It is one of
//
//   - a file with a line HASH:COUNT for each, in the order of the hashes, which is
//     searched by bisection;
//   - a folder with a file for each first five digits, 00000 to FFFFF, with or
//     without .txt, of lines SUFFIX:COUNT, as range queries answer.
//
// Both are what the downloaders of Have I Been Pwned write. Hashes are
// hexadecimal in either case, lines end in LF or CRLF. A count of 0 is padding.
//
// It is safe for concurrent use.
type Breached struct {
	list lookup
}

// lookup finds the count of a hash of 40 capital digits.
type lookup interface {
	count(ctx context.Context, hash string) (uint64, error)
	// inspect reads all of it.
	inspect(ctx context.Context) error
	io.Closer
}

// Open opens a list. It reads a little of it: enough to see that it is one.
//
// Errors: an error with the line's offset or the file's name, when it cannot be
// read or is no list.
func Open(path string) (*Breached, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open breached passwords: %w", err)
	}
	var list lookup
	if info.IsDir() {
		list, err = openRanges(path)
	} else {
		list, err = openSorted(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open breached passwords: %w", err)
	}
	return &Breached{list: list}, nil
}

// Close closes the list. Nothing may use it any more.
func (b *Breached) Close() error { return b.list.Close() }

// Contains says whether a password is in the list, as it is typed or as Hash
// writes it.
//
// Errors: INVALID_FIELD (password: utf8, null, min_length, max_length), the end of
// ctx, and SERVICE_UNAVAILABLE when the list is broken where the answer is looked
// for: it is then not known. The error does not say where, since that would tell
// about the password; Inspect does.
func (b *Breached) Contains(ctx context.Context, password secret.String) (bool, error) {
	c, err := read(password)
	if err != nil {
		return false, err
	}
	for _, text := range c.texts() {
		sum := sha1.Sum([]byte(text)) //nolint:gosec // the lists hold SHA-1
		n, err := b.list.count(ctx, strings.ToUpper(hex.EncodeToString(sum[:])))
		if ctx.Err() != nil {
			return false, fmt.Errorf("look for a breached password: %w", ctx.Err())
		}
		if err != nil {
			return false, noList(err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}

// Inspect reads the whole list, which takes minutes, and says whether each line
// is one and in its place. It is for whoever installs a list: Contains looks at
// few lines, and two of them that changed places need not be among those.
//
// Errors: an error with the line's offset or the file's name; the end of ctx.
func (b *Breached) Inspect(ctx context.Context) error {
	if err := b.list.inspect(ctx); err != nil {
		return fmt.Errorf("inspect breached passwords: %w", err)
	}
	return nil
}

var (
	errBroken = errors.New("a line is broken or out of order")
	errNoList = errors.New("none is configured")
)

// noList is the fault of a list that cannot answer. Of the error it keeps what
// went wrong, without the place in the list.
func noList(err error) *fault.Fault {
	f := fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "the list of breached passwords cannot be read")
	path, failed := errors.AsType[*fs.PathError](err)
	switch {
	case failed:
		return f.Because(path.Err)
	case errors.Is(err, errBroken):
		return f.Because(errBroken)
	case errors.Is(err, errNoList):
		return f.Because(errNoList)
	}
	return f.Because(io.ErrUnexpectedEOF)
}

// record reads DIGITS:COUNT, and returns the digits in capitals.
func record(line string, digits int) (key string, n uint64, ok bool) {
	line = strings.TrimSuffix(line, "\r")
	key, count, ok := strings.Cut(line, ":")
	if !ok || len(key) != digits || count == "" || len(count) > maxCountDigits {
		return "", 0, false
	}
	for _, c := range []byte(count) {
		if c < '0' || c > '9' {
			return "", 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	key = strings.ToUpper(key)
	for _, c := range []byte(key) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return "", 0, false
		}
	}
	return key, n, true
}

// maxCountDigits keeps a count within 64 bits.
const maxCountDigits = 18

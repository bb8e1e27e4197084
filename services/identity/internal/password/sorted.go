package password

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	hashDigits = 2 * 20
	// maxLine bounds a line of a sorted file, with its end.
	maxLine = hashDigits + 1 + maxCountDigits + 2
)

// sorted is one file with all hashes in order.
type sorted struct {
	file io.ReaderAt
	size int64
	io.Closer
}

// samples is how many lines are read when a file is opened.
const samples = 64

// openSorted opens a file and reads some of its lines, the first and the last
// among them. They must be whole and in order: that shows a list in another
// order, two lists in a row, and a download that was cut off within a line.
func openSorted(path string) (*sorted, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &sorted{file: file, Closer: file}
	if err := s.sample(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func (s *sorted) sample(file *os.File) error {
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("neither a file nor a folder")
	case info.Size() == 0:
		return errors.New("the file is empty")
	}
	s.size = info.Size()
	var last line
	for i := range int64(samples) {
		// The whole of the last step is the last byte.
		l, err := s.line(int64(float64(s.size-1)*float64(i)/(samples-1)), last.start)
		if err != nil {
			return err
		}
		if l.start != last.start && l.key <= last.key {
			return l.disordered()
		}
		last = l
	}
	return nil
}

// inspect reads the file from its start to its end.
func (s *sorted) inspect(ctx context.Context) error {
	lines := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, s.size), 1<<20)
	last := line{}
	for last.end < s.size {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read at byte %d: %w", last.end, err)
		}
		l := line{start: last.end, end: last.end + int64(len(text))}
		var ok bool
		if l.key, l.count, ok = record(strings.TrimSuffix(string(text), "\n"), hashDigits); !ok {
			return l.broken()
		}
		if l.key <= last.key {
			return l.disordered()
		}
		last = l
	}
	return nil
}

// line is one line of the file: its place, [start, end) with the line's end.
type line struct {
	start, end int64
	key        string
	count      uint64
}

func (l line) broken() error {
	return fmt.Errorf("%w: byte %d is not in a line HASH:COUNT", errBroken, l.start)
}

func (l line) disordered() error {
	return fmt.Errorf("%w: the line at byte %d has a lower hash than one before it", errBroken, l.start)
}

// count finds a hash by bisection: about 30 reads of some hundred bytes in a
// file of a billion lines. A line that is not one, or that is out of order with
// those the search has met, is an error.
func (s *sorted) count(ctx context.Context, hash string) (uint64, error) {
	lo, hi := int64(0), s.size
	after, before := "", ""
	for lo < hi {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		l, err := s.line(lo+(hi-lo)/2, lo)
		switch {
		case err != nil:
			return 0, err
		case l.end > hi, after != "" && l.key <= after, before != "" && l.key >= before:
			return 0, l.disordered()
		case l.key == hash:
			return l.count, nil
		case l.key < hash:
			lo, after = l.end, l.key
		default:
			hi, before = l.start, l.key
		}
	}
	return 0, nil
}

// line returns the line that holds the byte at the offset. A line starts at
// floor.
func (s *sorted) line(at, floor int64) (line, error) {
	from := max(floor, at-maxLine)
	window := make([]byte, min(s.size, at+maxLine)-from)
	if _, err := s.file.ReadAt(window, from); err != nil {
		return line{}, fmt.Errorf("read %d bytes at byte %d: %w", len(window), from, err)
	}
	// The line's end is the first one at or after the byte.
	pos := int(at - from)
	begin := bytes.LastIndexByte(window[:pos], '\n') + 1
	if begin == 0 && from > floor {
		return line{}, line{start: at}.broken()
	}
	end, next := len(window), len(window)
	if i := bytes.IndexByte(window[pos:], '\n'); i >= 0 {
		end, next = pos+i, pos+i+1
	} else if from+int64(next) != s.size {
		return line{}, line{start: at}.broken()
	}
	l := line{start: from + int64(begin), end: from + int64(next)}
	var ok bool
	if l.key, l.count, ok = record(string(window[begin:end]), hashDigits); !ok {
		return line{}, l.broken()
	}
	return l, nil
}

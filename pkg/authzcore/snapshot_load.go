package authzcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// SnapshotLimits bound what LoadSnapshot accepts.
type SnapshotLimits struct {
	// MaxBytes bounds the memory of the graph; 0 means no bound.
	MaxBytes uint64
}

// LoadSnapshot reads a graph that WriteSnapshot wrote. It asks model for the
// snapshot's model, unless it has none. Memory grows with what was read, not
// with what the snapshot claims.
//
// Errors: ErrSnapshotCorrupt (truncated, damaged, another version),
// ErrSnapshotTooLarge, ErrNamesFull, those of model and of r.
func LoadSnapshot(
	r io.Reader, names *Names, model func(id string) (*Model, error), limits SnapshotLimits,
) (*Graph, Header, error) {
	in := &unframer{r: r}
	g := NewGraph(names)
	l := &loader{in: in, w: &g.w, limit: limits.MaxBytes}
	h, err := l.load(model)
	if err != nil {
		return nil, h, fmt.Errorf("load snapshot: %w", err)
	}
	g.w.publish()
	return g, h, nil
}

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrSnapshotCorrupt, what) }

// unframer reads the stream inside the frames.
type unframer struct {
	r     io.Reader
	buf   []byte
	at    int
	total uint32
	err   error
}

func (u *unframer) full(b []byte) {
	if u.err != nil {
		return
	}
	_, err := io.ReadFull(u.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = corrupt("it ends too early")
	}
	u.err = err
}

func (u *unframer) start() {
	head := make([]byte, headerBytes)
	u.full(head)
	if u.err != nil {
		return
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		u.err = corrupt("it is not a snapshot")
	} else if v := binary.BigEndian.Uint32(head[len(snapshotMagic):]); v != snapshotVersion {
		u.err = corrupt(fmt.Sprintf("version %d is not known", v))
	}
}

// frame reads the next frame; it returns false after the last or on an error.
func (u *unframer) frame() bool {
	var head [8]byte
	u.full(head[:])
	if u.err != nil {
		return false
	}
	n, sum := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
	if n == 0 {
		if sum != u.total {
			u.err = corrupt("the checksum of the whole does not match")
		}
		return false
	}
	if n > maxFrame {
		u.err = corrupt("a frame is too long")
		return false
	}
	if cap(u.buf) < int(n) {
		u.buf = make([]byte, n)
	}
	u.buf, u.at = u.buf[:n], 0
	u.full(u.buf)
	if u.err == nil && crc32.Checksum(u.buf, castagnoli) != sum {
		u.err = corrupt("the checksum of a frame does not match")
	}
	u.total = crc32.Update(u.total, castagnoli, u.buf)
	return u.err == nil
}

// need makes sure that there are unread bytes in the frame: values never cross
// frames.
func (u *unframer) need() bool {
	if u.err != nil {
		return false
	}
	if u.at == len(u.buf) && !u.frame() {
		if u.err == nil {
			u.err = corrupt("it ends too early")
		}
		return false
	}
	return true
}

func (u *unframer) uint() uint64 {
	if !u.need() {
		return 0
	}
	n, size := binary.Uvarint(u.buf[u.at:])
	if size <= 0 {
		u.err = corrupt("a number is damaged")
		return 0
	}
	u.at += size
	return n
}

// below reads a number that must be below limit.
func (u *unframer) below(limit uint64) uint32 {
	n := u.uint()
	if u.err == nil && n >= limit {
		u.err = corrupt("a number is out of range")
		return 0
	}
	return uint32(n)
}

// text reads up to limit bytes. They are valid until the next read.
func (u *unframer) text(limit uint64) []byte {
	n := int(u.below(limit + 1))
	if n == 0 || !u.need() {
		return nil
	}
	if n > len(u.buf)-u.at {
		u.err = corrupt("a text is damaged")
		return nil
	}
	out := u.buf[u.at : u.at+n]
	u.at += n
	return out
}

// end reads the end frame.
func (u *unframer) end() error {
	if u.err == nil && (u.at != len(u.buf) || u.frame()) {
		return corrupt("there is more after the end")
	}
	return u.err
}

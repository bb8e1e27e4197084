package peoplefile_test

import (
	"strconv"
	"strings"
)

// endless is a file without an end: begin, and then line again and again, in which
// % is a number.
type endless struct {
	begin, line string
	made        int
	left        string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == "" {
		if e.left, e.begin = e.begin, ""; e.left == "" {
			e.made++
			e.left = strings.ReplaceAll(e.line, "%", strconv.Itoa(e.made))
		}
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

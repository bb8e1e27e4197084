// Package peoplefile reads users from a file of another system and imports them.
//
// A file is hostile: each line is judged by itself, and one that cannot be read or
// sent is refused with its number while the others go on. What is
// kept in memory does not grow with the file.
package peoplefile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"buf.build/go/protovalidate"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Format is how a file is written.
type Format string

const (
	// CSV has a header and one user a line, as RFC 4180 has it, but that no field
	// goes over several lines. See Columns.
	CSV Format = "csv"
	// JSONL is one JSON object a line, with the fields of ImportedUser: external_id,
	// email, email_verified, name, locale, password_hash, and memberships, a list of
	// {"organization": …, "role": "member" or "admin"}.
	JSONL Format = "jsonl"
)

// FormatOf returns the format that the name of a file stands for.
func FormatOf(name string) (Format, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return CSV, nil
	case ".jsonl", ".ndjson":
		return JSONL, nil
	default:
		return "", fmt.Errorf("%s: neither .csv nor .jsonl; say which it is", name)
	}
}

// MaxLine is how many bytes a line has at most, without its end.
const MaxLine = 64 << 10

// Line is one line of a file: a user, or why there is none.
type Line struct {
	// Number counts from 1, the header and empty lines too.
	Number int64
	// User can be sent; nil when the line is refused.
	User *identityv1.ImportedUser
	// ExternalID is the user's id at the source, empty where the line is refused
	// and it could not be read.
	ExternalID string
	// Refusal says why there is no user.
	Refusal Refusal
}

// Refusal says why a user is not imported. It never quotes the file.
type Refusal struct {
	// Reason is a name of meridian.common.v1.Reason.
	Reason string
	// Field of ImportedUser, or "line" for a line that cannot be read.
	Field string
	// Detail is for people.
	Detail string
}

func refuse(field, detail string) Refusal {
	return Refusal{commonv1.Reason_INVALID_FIELD.String(), field, detail}
}

// Reader reads users from a file.
type Reader struct {
	lines lines
	parse func(line []byte) (*identityv1.ImportedUser, Refusal)
	rules protovalidate.Validator
	seen  seen
}

var rules = sync.OnceValues(func() (protovalidate.Validator, error) { return protovalidate.New(protovalidate.WithFailFast()) })

// NewReader reads the header, if the format has one.
//
// Errors: a format that does not exist; a header that lacks a column, or has one
// twice or one that means nothing; those of r.
func NewReader(r io.Reader, format Format) (*Reader, error) {
	validator, err := rules()
	if err != nil {
		return nil, err
	}
	out := &Reader{lines: lines{in: bufio.NewReaderSize(r, MaxLine+2)}, rules: validator}
	switch format {
	case CSV:
		table, err := readHeader(&out.lines)
		if err != nil {
			return nil, err
		}
		out.parse = table.user
	case JSONL:
		out.parse = parseObject
	default:
		return nil, fmt.Errorf("format %q: must be csv or jsonl", format)
	}
	return out, nil
}

// Next returns the next line that is not empty; io.EOF after the last. What is
// wrong with a line is in it: an error ends the file.
func (r *Reader) Next() (Line, error) {
	for {
		text, long, err := r.lines.next()
		if err != nil {
			return Line{}, err
		}
		line := Line{Number: r.lines.number}
		switch {
		case long:
			line.Refusal = refuse("line", fmt.Sprintf("is longer than %d bytes", MaxLine))
		case len(text) == 0:
			continue
		case !utf8.Valid(text):
			line.Refusal = refuse("line", "is not UTF-8")
		default:
			r.read(&line, text)
		}
		return line, nil
	}
}

// read makes a user of a line, or a refusal.
func (r *Reader) read(line *Line, text []byte) {
	user, refusal := r.parse(text)
	line.Refusal = refusal
	if user == nil {
		return
	}
	if refusal.Reason == "" {
		line.Refusal = r.check(user)
	}
	if isExternalID(user.GetExternalId()) {
		line.ExternalID = user.GetExternalId()
	}
	if line.Refusal.Reason != "" {
		return
	}
	if at, twice := r.seen.before(user.GetExternalId(), line.Number); twice {
		line.Refusal = Refusal{commonv1.Reason_ALREADY_EXISTS.String(), "external_id", fmt.Sprintf("line %d has it", at)}
		return
	}
	line.User = user
}

// isExternalID says whether a text is 1 to 128 visible ASCII characters.
func isExternalID(text string) bool {
	if text == "" || len(text) > 128 {
		return false
	}
	return strings.IndexFunc(text, func(c rune) bool { return c < '!' || c > '~' }) < 0
}

// check holds a user against the rules of a call: what breaks one would be refused
// together with the users that are sent with it. The narrower rules for one user
// are the server's, but for the external id, which lines are told apart by.
func (r *Reader) check(user *identityv1.ImportedUser) Refusal {
	if !isExternalID(user.GetExternalId()) {
		return refuse("external_id", "must be 1 to 128 visible ASCII characters")
	}
	err := r.rules.Validate(user)
	if err == nil {
		return Refusal{}
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) || len(broken.Violations) == 0 {
		return refuse("line", "cannot be held against the rules of the contract")
	}
	first := broken.Violations[0].Proto
	return refuse(protovalidate.FieldPathString(first.GetField()), first.GetMessage())
}

// lines reads lines of MaxLine bytes at most.
type lines struct {
	in     *bufio.Reader
	number int64
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// next returns a line without its end, which is valid until the next call; long
// says that it was too long and is passed over.
func (l *lines) next() (text []byte, long bool, err error) {
	text, err = l.in.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		text, err = l.in.ReadSlice('\n')
	}
	switch {
	case errors.Is(err, io.EOF) && (len(text) > 0 || long):
		// The last line has no end.
	case err != nil:
		return nil, false, err
	}
	l.number++
	if l.number == 1 {
		text = bytes.TrimPrefix(text, byteOrderMark)
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if long || len(text) > MaxLine {
		return nil, true, nil
	}
	return text, false, nil
}

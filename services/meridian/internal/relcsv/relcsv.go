// Package relcsv reads relationships from CSV and imports them.
package relcsv

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Header is the first line of a file. Columns of Terms may follow it.
var Header = []string{"object_type", "object_id", "relation", "subject_type", "subject_id", "subject_relation"}

// Terms are the columns that a file may have beside: the name of a condition, a
// JSON object of its parameters, and an RFC 3339 time. Each may be empty.
var Terms = []string{"condition", "context", "expires_at"}

// batch is how many relationships one commit holds.
const batch = 5000

// Reader reads relationships from CSV.
type Reader struct {
	csv *csv.Reader
	// terms are the columns after Header's.
	terms []string
	// lines are where those that each Next returned stand in the file.
	lines [][]int
}

// NewReader reads the header.
//
// Errors: a header that is not Header with, perhaps, some of Terms after it.
func NewReader(r io.Reader) (*Reader, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	first, err := c.Read()
	must := strings.Join(Header, ",") + " and may go on with " + strings.Join(Terms, ",")
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("line 1: there is no header; it must be %s", must)
	case err != nil:
		return nil, fmt.Errorf("header: %w", err)
	}
	if !isHeader(first) {
		return nil, fmt.Errorf("line 1: the header is %q, must be %s", strings.Join(first, ","), must)
	}
	return &Reader{csv: c, terms: slices.Clone(first[len(Header):])}, nil
}

func isHeader(columns []string) bool {
	if len(columns) < len(Header) || !slices.Equal(columns[:len(Header)], Header) {
		return false
	}
	for i, name := range columns[len(Header):] {
		if !slices.Contains(Terms, name) || slices.Contains(columns[:len(Header)+i], name) {
			return false
		}
	}
	return true
}

// Next returns up to limit relationships; io.EOF after the last.
func (r *Reader) Next(limit int) ([]*authzv1.Relationship, error) {
	var (
		out   []*authzv1.Relationship
		lines []int
	)
	for len(out) < limit {
		record, err := r.csv.Read()
		if errors.Is(err, io.EOF) && len(out) > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.csv.FieldPos(0)
		relationship, err := r.relationship(record)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		lines = append(lines, line)
		out = append(out, relationship)
	}
	r.lines = append(r.lines, lines)
	return out, nil
}

func (r *Reader) relationship(record []string) (*authzv1.Relationship, error) {
	subject := record[3] + ":" + record[4]
	if record[5] != "" {
		subject += "#" + record[5]
	}
	out := &authzv1.Relationship{Resource: record[0] + ":" + record[1], Relation: record[2], Subject: subject}
	var condition, values, expires string
	for i, name := range r.terms {
		switch text := record[len(Header)+i]; name {
		case "condition":
			condition = text
		case "context":
			values = text
		case "expires_at":
			expires = text
		}
	}
	var err error
	if out.Condition, err = Condition(condition, values); err != nil {
		return nil, err
	}
	if expires != "" {
		at, err := time.Parse(time.RFC3339, expires)
		if err != nil {
			return nil, fmt.Errorf("expires_at: %q is not a time as 2027-01-31T18:00:00Z", expires)
		}
		out.ExpiresAt = timestamppb.New(at)
	}
	return out, nil
}

// Condition reads a condition's name and the JSON object of its parameters; both
// may be empty.
func Condition(name, values string) (*authzv1.Condition, error) {
	if name == "" && values == "" {
		return nil, nil //nolint:nilnil // no condition is an answer
	}
	if name == "" {
		return nil, errors.New("context: needs a condition")
	}
	out := &authzv1.Condition{Name: name}
	if values == "" {
		return out, nil
	}
	out.Context = &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(values), out.GetContext()); err != nil {
		return nil, fmt.Errorf("context: %q is not a JSON object as {\"hour\":9}", values)
	}
	return out, nil
}

// Import sends all relationships of a CSV to an organization. progress is told
// how many were sent.
func Import(
	ctx context.Context, client *meridian.Client, organization string, from io.Reader, progress func(sent int),
) (*authzv1.ImportRelationshipsResponse, error) {
	r, err := NewReader(from)
	if err != nil {
		return nil, err
	}
	stream, err := client.Relationships.ImportRelationships(ctx)
	if err != nil {
		return nil, err
	}
	sent := 0
	for {
		relationships, err := r.Next(batch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			_, _ = stream.CloseAndReceive() // what was sent stays; the file's error matters
			return nil, err
		}
		sent += len(relationships)
		err = stream.Send(&authzv1.ImportRelationshipsRequest{Organization: organization, Relationships: relationships})
		if errors.Is(err, io.EOF) {
			break // the answer says why
		}
		if err != nil {
			return nil, err
		}
		progress(sent)
	}
	answer, err := stream.CloseAndReceive()
	if err != nil {
		err = r.atLine(err)
	}
	return answer, err
}

// atLine says which line of the file an error is about that names a message of
// the stream and a relationship in it.
func (r *Reader) atLine(err error) error {
	e, ok := meridian.AsError(err)
	if !ok {
		return err
	}
	_, rest, _ := strings.Cut(e.Meta["field"], "relationships[")
	number, _, _ := strings.Cut(rest, "]")
	i, notNumber := strconv.Atoi(number)
	message, noMessage := strconv.Atoi(e.Meta["message"])
	if notNumber != nil || noMessage != nil || message < 0 || message >= len(r.lines) || i < 0 || i >= len(r.lines[message]) {
		return err
	}
	return fmt.Errorf("line %d: %w", r.lines[message][i], err)
}

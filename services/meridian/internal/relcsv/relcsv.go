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

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Header is the first line of a file.
var Header = []string{"object_type", "object_id", "relation", "subject_type", "subject_id", "subject_relation"}

// batch is how many relationships one commit holds.
const batch = 5000

// Reader reads relationships from CSV.
type Reader struct {
	csv *csv.Reader
	// lines are where those that each Next returned stand in the file.
	lines [][]int
}

// NewReader reads the header.
//
// Errors: a header that is not Header.
func NewReader(r io.Reader) (*Reader, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = len(Header)
	c.ReuseRecord = true
	first, err := c.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("line 1: there is no header; it must be %s", strings.Join(Header, ","))
	case err != nil && !errors.Is(err, csv.ErrFieldCount):
		return nil, fmt.Errorf("header: %w", err)
	case !slices.Equal(first, Header):
		return nil, fmt.Errorf("line 1: the header is %q, must be %s", strings.Join(first, ","), strings.Join(Header, ","))
	}
	return &Reader{csv: c}, nil
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
		subject := record[3] + ":" + record[4]
		if record[5] != "" {
			subject += "#" + record[5]
		}
		line, _ := r.csv.FieldPos(0)
		lines = append(lines, line)
		out = append(out, &authzv1.Relationship{Resource: record[0] + ":" + record[1], Relation: record[2], Subject: subject})
	}
	r.lines = append(r.lines, lines)
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

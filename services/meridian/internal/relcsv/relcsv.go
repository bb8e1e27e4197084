// Package relcsv reads relationships from CSV and imports them.
package relcsv

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Header is the first line of a file.
var Header = []string{"object_type", "object_id", "relation", "subject_type", "subject_id", "subject_relation"}

// batch is how many relationships one commit holds.
const batch = 5000

// Reader reads relationships from CSV.
type Reader struct{ csv *csv.Reader }

// NewReader reads the header.
//
// Errors: a header that is not Header.
func NewReader(r io.Reader) (*Reader, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = len(Header)
	c.ReuseRecord = true
	first, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if !slices.Equal(first, Header) {
		return nil, fmt.Errorf("header is %q, must be %q", first, Header)
	}
	return &Reader{csv: c}, nil
}

// Next returns up to limit relationships; io.EOF after the last.
func (r *Reader) Next(limit int) ([]*authzv1.Relationship, error) {
	var out []*authzv1.Relationship
	for len(out) < limit {
		record, err := r.csv.Read()
		if errors.Is(err, io.EOF) && len(out) > 0 {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		subject := record[3] + ":" + record[4]
		if record[5] != "" {
			subject += "#" + record[5]
		}
		out = append(out, &authzv1.Relationship{Resource: record[0] + ":" + record[1], Relation: record[2], Subject: subject})
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
	for sent := 0; ; {
		relationships, err := r.Next(batch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			_, _ = stream.CloseAndReceive() // what was sent stays; the file's error matters
			return nil, err
		}
		err = stream.Send(&authzv1.ImportRelationshipsRequest{Organization: organization, Relationships: relationships})
		if errors.Is(err, io.EOF) {
			break // the answer says why
		}
		if err != nil {
			return nil, err
		}
		sent += len(relationships)
		progress(sent)
	}
	return stream.CloseAndReceive()
}

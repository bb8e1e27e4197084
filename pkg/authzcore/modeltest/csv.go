package modeltest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// columns of a CSV file of tuples. Those that must be there come first. The
// columns of user may be named subject as well, as meridian rel import has them.
var columns = []string{"user_type", "user_id", "relation", "object_type", "object_id", "user_relation", "condition_name", "condition_context", "expires_at"}

const neededColumns = 5

// csv reads tuples with a header line, in any order of the columns.
func (s *tupleSet) csv(d *document, content []byte) {
	rows := csv.NewReader(bytes.NewReader(content))
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		d.refuseAtf(1, "not valid CSV: the header cannot be read")
		return
	}
	at, ok := d.header(header)
	if !ok {
		return
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			d.refuseCSV(err)
			return
		}
		line, _ := rows.FieldPos(0)
		cell := func(column string) string {
			if i, found := at[column]; found {
				return row[i]
			}
			return ""
		}
		s.row(d, line, cell)
	}
}

func (d *document) refuseCSV(err error) {
	line := 1
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		line, err = e.Line, e.Err
	}
	d.refuseAtf(line, "not valid CSV: %v", err)
}

// header returns the index of each column.
func (d *document) header(header []string) (map[string]int, bool) {
	at := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		if rest, found := strings.CutPrefix(name, "subject_"); found {
			name = "user_" + rest
		}
		if name == "condition" || name == "context" { // as exports have them
			name = map[string]string{"condition": "condition_name", "context": "condition_context"}[name]
		}
		_, twice := at[name]
		switch {
		case !slices.Contains(columns, name):
			d.refuseAtf(1, "no column is named %s; there are %s", quote(name), strings.Join(columns, ", "))
			return nil, false
		case twice:
			d.refuseAtf(1, "column %s stands twice", name)
			return nil, false
		}
		at[name] = i
	}
	for _, name := range columns[:neededColumns] {
		if _, found := at[name]; !found {
			d.refuseAtf(1, "column %s is missing", name)
			return nil, false
		}
	}
	return at, true
}

func (s *tupleSet) row(d *document, line int, cell func(column string) string) {
	before := len(d.found.list)
	r := authzcore.Relationship{
		Resource: cell("object_type") + ":" + cell("object_id"), Relation: cell("relation"),
		Subject: cell("user_type") + ":" + cell("user_id"),
		Terms:   authzcore.Terms{Condition: cell("condition_name")},
	}
	if relation := cell("user_relation"); relation != "" {
		r.Subject += "#" + relation
	}
	if text := cell("condition_context"); text != "" {
		if r.Terms.Condition == "" {
			d.refuseAtf(line, "condition_context needs condition_name")
		}
		if n := d.parseJSON([]byte(text), line); n != nil {
			r.Terms.Context = encoded(d.context(n))
		}
	}
	if text := cell("expires_at"); text != "" {
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: line}
		r.Terms.Expires = seconds(d.instant(n, "expires_at"))
	}
	if len(d.found.list) == before {
		s.add(d, line, r)
	}
}

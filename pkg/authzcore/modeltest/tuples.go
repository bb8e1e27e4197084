package modeltest

import (
	"bytes"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// tuple is a relationship of a file.
type tuple struct {
	at           Place
	relationship authzcore.Relationship
}

// allTuples reads the tuples of a store or of a test, from all keys that hold
// or name some. One that stands twice is taken once, when its condition is the
// same.
func (r *reader) allTuples(values map[string]*yaml.Node) []tuple {
	set := &tupleSet{reader: r, seen: map[authzcore.Relationship]tuple{}}
	for _, n := range r.items(values["tuples"], "tuples") {
		set.node(r.document, n)
	}
	if n := values["tuple_file"]; n != nil {
		set.file(n)
	}
	for _, n := range r.items(values["tuple_files"], "tuple_files") {
		set.file(n)
	}
	return set.list
}

// tupleSet collects tuples.
type tupleSet struct {
	reader *reader
	list   []tuple
	seen   map[authzcore.Relationship]tuple
}

// add takes a tuple that the model allows.
func (s *tupleSet) add(d *document, line int, relationship authzcore.Relationship) {
	r := s.reader
	if r.tuples++; r.tuples > maxTuples {
		if r.tuples == maxTuples+1 {
			d.refuseAtf(line, "a store has at most %d tuples", maxTuples)
		}
		return
	}
	if err := r.store.model.compiled.Validate(relationship); err != nil {
		d.refuseAtf(line, "tuple %s: %s", relationship, words(err))
		return
	}
	t := tuple{at: Place{File: d.file, Line: line}, relationship: relationship}
	if other, found := s.seen[relationship.Key()]; found {
		if other.relationship != relationship {
			d.refuseAtf(line, "tuple %s stands in %s too, with another condition", relationship, other.at)
		}
		return
	}
	s.seen[relationship.Key()] = t
	s.list = append(s.list, t)
}

// node reads a tuple as YAML and JSON have it.
func (s *tupleSet) node(d *document, n *yaml.Node) {
	before := len(d.found.list)
	const what = "a tuple"
	values := d.mapping(n, what, "user", "relation", "object", "condition", "expires_at")
	user, _ := d.needed(n, values, what, "user")
	relation, _ := d.needed(n, values, what, "relation")
	object, _ := d.needed(n, values, what, "object")
	var terms authzcore.Terms
	if c := values["condition"]; c != nil {
		condition := d.mapping(c, "a condition", "name", "context")
		terms.Condition, _ = d.needed(c, condition, "a condition", "name")
		terms.Context = encoded(d.context(condition["context"]))
	}
	terms.Expires = seconds(d.instant(values["expires_at"], "expires_at"))
	if len(d.found.list) == before {
		s.add(d, n.Line, authzcore.Relationship{Resource: object, Relation: relation, Subject: user, Terms: terms})
	}
}

// encoded is the form that the engine stores; document.context has checked it.
func encoded(context map[string]any) string {
	text, _ := authzcore.EncodeContext(context)
	return text
}

func seconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}

// file reads the tuples of another file, by the end of its name.
func (s *tupleSet) file(n *yaml.Node) {
	r := s.reader
	name, ok := r.text(n, "a tuple file")
	if !ok {
		return
	}
	content, err := r.folder.content(name)
	if err != nil {
		r.refusef(n, "%v", err)
		return
	}
	d := &document{file: r.folder.path(name), found: r.found}
	before, tuples := len(r.found.list), r.tuples
	switch path.Ext(name) {
	case ".yaml", ".yml":
		s.nodes(d, d.parseYAML(content))
	case ".json":
		s.nodes(d, d.parseJSON(content, 1))
	case ".jsonl":
		s.lines(d, content)
	case ".csv":
		s.csv(d, content)
	default:
		r.refusef(n, "tuple file %s must end with .yaml, .yml, .json, .jsonl or .csv", quote(name))
	}
	if len(r.found.list) == before && r.tuples == tuples {
		r.refusef(n, "tuple file %s has no tuple", quote(name))
	}
}

func (s *tupleSet) nodes(d *document, root *yaml.Node) {
	for _, n := range d.items(root, "a tuple file") {
		s.node(d, n)
	}
}

// lines reads one JSON value a line.
func (s *tupleSet) lines(d *document, content []byte) {
	number := 0
	for line := range bytes.Lines(content) {
		number++
		if text := strings.TrimSpace(string(line)); text != "" {
			if n := d.parseJSON([]byte(text), number); n != nil {
				s.node(d, n)
			}
		}
	}
}

package modeltest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// kind is what a question asks for. The texts are the keys of a test.
type kind string

const (
	kindCheck       kind = "check"
	kindListObjects kind = "list_objects"
	kindListUsers   kind = "list_users"
)

// question is one assertion of a test.
type question struct {
	kind kind
	at   Place
	// user, relation and object; object is a type in kindListObjects, and user
	// is empty in kindListUsers.
	user, relation, object string
	filters                []filter
	circumstances          authzcore.Circumstances
	want                   answer
}

// filter is what kindListUsers asks for: objects of a type, or its usersets.
type filter struct {
	typ, relation string
}

func (f filter) String() string {
	if f.relation == "" {
		return f.typ
	}
	return f.typ + "#" + f.relation
}

// answer is a decision, or a list sorted by name.
type answer struct {
	decision authzcore.Answer
	missing  []string
	list     []authzcore.Found
}

// name says what is asked, in one line.
func (q *question) name() string {
	parts := []string{string(q.kind)}
	switch q.kind {
	case kindListUsers:
		parts = append(parts, q.object, q.relation)
		for _, f := range q.filters {
			parts = append(parts, f.String())
		}
	default:
		parts = append(parts, q.user, q.relation, q.object)
	}
	if len(q.circumstances.Context) > 0 {
		text, _ := json.Marshal(q.circumstances.Context) // it was read from JSON or YAML
		parts = append(parts, "with", cut(string(text)))
	}
	if at := q.circumstances.At; !at.IsZero() {
		parts = append(parts, "at", at.Format(time.RFC3339))
	}
	return strings.Join(parts, " ")
}

func (r *reader) circumstances(values map[string]*yaml.Node) authzcore.Circumstances {
	return authzcore.Circumstances{Context: r.context(values["context"]), At: r.instant(values["at"], "at")}
}

// assertions returns what is asserted of each relation.
func (r *reader) assertions(n *yaml.Node, values map[string]*yaml.Node, what string) []pair {
	if values["assertions"] == nil {
		r.refusef(n, "%s needs assertions", what)
		return nil
	}
	out := r.pairs(values["assertions"], "assertions")
	if len(out) == 0 {
		r.refusef(values["assertions"], "assertions must not be empty")
	}
	return out
}

// oneOrMany returns the texts of a key or of its plural.
func (r *reader) oneOrMany(n *yaml.Node, values map[string]*yaml.Node, what, one, many string) []string {
	switch {
	case values[one] != nil && values[many] != nil:
		r.refusef(values[many], "give %s or %s", one, many)
	case values[many] != nil:
		var out []string
		for _, item := range r.items(values[many], many) {
			if text, ok := r.text(item, one); ok {
				out = append(out, text)
			}
		}
		if len(out) == 0 {
			r.refusef(values[many], "%s must not be empty", many)
		}
		return out
	default:
		if text, ok := r.needed(n, values, what, one); ok {
			return []string{text}
		}
	}
	return nil
}

// check reads one item of check: a question for each user, object and relation.
func (r *reader) check(n *yaml.Node) []question {
	const what = "a check"
	values := r.mapping(n, what, "user", "users", "object", "objects", "context", "at", "assertions")
	users := r.oneOrMany(n, values, what, "user", "users")
	objects := r.oneOrMany(n, values, what, "object", "objects")
	circumstances := r.circumstances(values)
	var out []question
	for _, p := range r.assertions(n, values, what) {
		want, ok := r.decision(p.value)
		if !ok {
			continue
		}
		for _, user := range users {
			for _, object := range objects {
				q := question{
					kind: kindCheck, at: r.at(p.key), user: user, relation: p.key.Value, object: object,
					circumstances: circumstances, want: answer{decision: want},
				}
				if !r.room(n) {
					return nil
				}
				if r.asks(p.key, user, p.key.Value, object) {
					out = append(out, q)
				}
			}
		}
	}
	return out
}

// room counts a question.
func (r *reader) room(n *yaml.Node) bool {
	r.cases++
	if r.cases == maxCases+1 {
		r.refusef(n, "a store has at most %d assertions", maxCases)
	}
	return r.cases <= maxCases
}

// asks says whether the model knows all that a question names.
func (r *reader) asks(n *yaml.Node, user, relation, object string) bool {
	_, err := r.store.model.compiled.Parse(authzcore.Question{Subject: user, Permission: relation, Resource: object})
	if err != nil {
		r.refusef(n, "%s", words(err))
	}
	return err == nil
}

func (r *reader) decision(n *yaml.Node) (authzcore.Answer, bool) {
	s := resolve(n)
	var allowed bool
	switch {
	case s.Kind == yaml.ScalarNode && s.Tag == "!!str" && s.Value == "conditional":
		return authzcore.Conditional, true
	case s.Kind != yaml.ScalarNode || s.Tag != "!!bool" || s.Decode(&allowed) != nil:
		r.refusef(n, "an assertion of a check must be true, false or conditional, not %s", kindOf(s))
		return 0, false
	case allowed:
		return authzcore.Allow, true
	default:
		return authzcore.Deny, true
	}
}

// list reads a list of names, those that are conditional as {conditional: name}.
func (r *reader) list(n *yaml.Node, what string, fits func(*yaml.Node, string) bool) []authzcore.Found {
	out := []authzcore.Found{}
	seen := map[string]bool{}
	for _, item := range r.items(n, what) {
		name, conditional := resolve(item), false
		if name.Kind == yaml.MappingNode {
			value := r.mapping(item, "an item", "conditional")["conditional"]
			if value == nil {
				r.refusef(item, "an item must be a text or {conditional: text}")
				continue
			}
			name, conditional = resolve(value), true
		}
		text, ok := r.text(name, "an item")
		if !ok || !fits(name, text) {
			continue
		}
		if seen[text] {
			r.refusef(name, "%s stands twice in the list", quote(text))
		}
		seen[text] = true
		out = append(out, authzcore.Found{Name: text, Conditional: conditional})
	}
	slices.SortFunc(out, func(a, b authzcore.Found) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// listObjects reads one item of list_objects: a question for each relation.
func (r *reader) listObjects(n *yaml.Node) []question {
	const what = "a list of objects"
	values := r.mapping(n, what, "user", "type", "context", "at", "assertions")
	user, ok := r.needed(n, values, what, "user")
	typ, ok2 := r.needed(n, values, what, "type")
	circumstances := r.circumstances(values)
	var out []question
	for _, p := range r.assertions(n, values, what) {
		if !ok || !ok2 || !r.room(n) || !r.asks(p.key, user, p.key.Value, typ+":any") {
			continue
		}
		list := r.list(p.value, "an assertion of list_objects", func(n *yaml.Node, text string) bool {
			o, err := authzcore.ParseObject(text)
			switch {
			case err != nil:
				r.refusef(n, "%s", words(err))
			case o.Type != typ:
				r.refusef(n, "%s is not of type %s, which the list asks for", quote(text), typ)
			default:
				return true
			}
			return false
		})
		out = append(out, question{
			kind: kindListObjects, at: r.at(p.key), user: user, relation: p.key.Value, object: typ,
			circumstances: circumstances, want: answer{list: list},
		})
	}
	return out
}

// listUsers reads one item of list_users: a question for each relation.
func (r *reader) listUsers(n *yaml.Node) []question {
	const what = "a list of users"
	values := r.mapping(n, what, "object", "user_filter", "context", "at", "assertions")
	object, ok := r.needed(n, values, what, "object")
	filters := r.filters(n, values)
	circumstances := r.circumstances(values)
	var out []question
	for _, p := range r.assertions(n, values, what) {
		if !ok || len(filters) == 0 || !r.room(n) || !r.knows(p.key, filters, p.key.Value, object) {
			continue
		}
		users := r.mapping(p.value, "an assertion of list_users", "users")["users"]
		if users == nil {
			r.refusef(p.value, "an assertion of list_users needs users")
			continue
		}
		list := r.list(users, "users", func(n *yaml.Node, text string) bool {
			s, err := authzcore.ParseSubject(text)
			switch {
			case err != nil:
				r.refusef(n, "%s", words(err))
			case !slices.Contains(filters, filter{s.Type, s.Relation}):
				r.refusef(n, "%s is not among what user_filter asks for", quote(text))
			default:
				return true
			}
			return false
		})
		out = append(out, question{
			kind: kindListUsers, at: r.at(p.key), relation: p.key.Value, object: object, filters: filters,
			circumstances: circumstances, want: answer{list: list},
		})
	}
	return out
}

// knows says whether the model knows what a list of users names.
func (r *reader) knows(n *yaml.Node, filters []filter, relation, object string) bool {
	for _, f := range filters {
		user := f.typ + ":any"
		if f.relation != "" {
			user += "#" + f.relation
		}
		if !r.asks(n, user, relation, object) {
			return false
		}
	}
	return true
}

func (r *reader) filters(n *yaml.Node, values map[string]*yaml.Node) []filter {
	if values["user_filter"] == nil {
		r.refusef(n, "a list of users needs user_filter")
		return nil
	}
	var out []filter
	for _, item := range r.items(values["user_filter"], "user_filter") {
		value := r.mapping(item, "a user filter", "type", "relation")
		if typ, ok := r.needed(item, value, "a user filter", "type"); ok {
			out = append(out, filter{typ, r.optional(value, "relation")})
		}
	}
	if len(out) == 0 {
		r.refusef(values["user_filter"], "user_filter must not be empty")
	}
	return out
}

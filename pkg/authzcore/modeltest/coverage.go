package modeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// Coverage says what of the models the assertions depend on.
//
// A branch is covered when at least one assertion would be answered otherwise
// without it, in its own file's relationships: so a branch that is not covered
// can be taken out of the model and no assertion would notice. Branches are
//
//   - each type restriction in brackets; without it, the relationships that are
//     stored under it are gone;
//   - each relation, and each relation from another one, that grants: an operand
//     of or, the base of but not, or a whole definition; without it, it grants
//     nobody;
//   - each operand of and, also one in parentheses; without it, the others are
//     enough;
//   - what comes after but not; without it, nobody is excluded.
//
// An access that two branches give alike depends on neither of them. A relation
// is covered when one of its branches is. Whether assertions pass does not
// matter. A branch that the model cannot do without is not counted.
type Coverage struct {
	// Branches are those of all models, ordered by file and place.
	Branches []Branch `json:"branches"`
	Covered  int      `json:"covered"`
	// Relations counts the relations that have a branch.
	Relations        int `json:"relations"`
	CoveredRelations int `json:"covered_relations"`
}

// Percent is how many of the branches are covered; 100 when there is none.
func (c *Coverage) Percent() float64 {
	if len(c.Branches) == 0 {
		return 100
	}
	return 100 * float64(c.Covered) / float64(len(c.Branches))
}

// measure asks the questions of all benches again for each branch of their
// models.
func measure(ctx context.Context, benches []*bench) (*Coverage, error) {
	out := &Coverage{Branches: []Branch{}}
	var models []*model
	shared := map[*model][]*bench{}
	for _, b := range benches {
		if m := b.store.model; shared[m] == nil {
			models = append(models, m)
		}
		shared[b.store.model] = append(shared[b.store.model], b)
	}
	for _, m := range models {
		branches, err := m.measure(ctx, shared[m])
		if err != nil {
			return nil, err
		}
		out.Branches = append(out.Branches, branches...)
	}
	slices.SortStableFunc(out.Branches, func(a, b Branch) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	for _, group := range out.relations() {
		hits := 0
		for _, b := range group {
			if b.Hits > 0 {
				out.Covered++
			}
			hits += b.Hits
		}
		out.Relations++
		if hits > 0 {
			out.CoveredRelations++
		}
	}
	return out, nil
}

// relations groups the branches by file, type and relation, in order.
func (c *Coverage) relations() [][]Branch {
	var out [][]Branch
	index := map[[3]string]int{}
	for _, b := range c.Branches {
		key := [3]string{b.File, b.Type, b.Relation}
		i, found := index[key]
		if !found {
			i = len(out)
			index[key] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], b)
	}
	return out
}

func (m *model) measure(ctx context.Context, benches []*bench) ([]Branch, error) {
	before := make([][]string, len(benches))
	for i, b := range benches {
		answers, err := b.answers(ctx, nil)
		if err != nil {
			return nil, err
		}
		before[i] = answers
	}
	var out []Branch
	for _, f := range m.files {
		for _, d := range definitions(f) {
			for _, p := range d.parts() {
				counted, err := m.without(ctx, p, benches, before)
				if err != nil {
					return nil, err
				}
				if counted {
					p.Place = m.sources[d.file].place(p.Line)
					out = append(out, p.Branch)
				}
			}
		}
	}
	return out, nil
}

// without counts the assertions that are answered otherwise without a part. It
// returns false when there is no model without it.
func (m *model) without(ctx context.Context, p *part, benches []*bench, before [][]string) (bool, error) {
	reduced := m.compiled
	if p.operand != nil {
		compiled, err := authzcore.CompileContext(ctx, m.names, p.files(m.files))
		if _, invalid := errors.AsType[*authzcore.ModelError](err); invalid {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		reduced = compiled
	}
	for i, b := range benches {
		after, err := b.reduced(ctx, reduced, p)
		if err != nil {
			return false, fmt.Errorf("%s: %w", b.store.file, err)
		}
		for j, answer := range after {
			if answer != before[i][j] {
				p.Hits++
			}
		}
	}
	return true, nil
}

// reduced returns the answers by another model, and without the relationships
// of a restriction. The bench is as it was afterwards.
func (b *bench) reduced(ctx context.Context, m *authzcore.Model, p *part) (answers []string, err error) {
	gone := func(r authzcore.Relationship) bool {
		typ, _, _ := strings.Cut(r.Resource, ":")
		return p.restriction != nil && typ == p.Type && r.Relation == p.Relation && p.restriction.lets(r)
	}
	var forth, back []authzcore.Change
	for _, t := range b.store.tuples {
		if gone(t.relationship) {
			forth = append(forth, authzcore.Change{Relationship: t.relationship, Delete: true})
			back = append(back, authzcore.Change{Relationship: t.relationship})
			delete(b.stored, t.relationship.Key())
		}
	}
	defer func() {
		for _, c := range back {
			b.stored[c.Relationship.Key()] = c.Relationship
		}
		err = errors.Join(err, b.apply(back, b.store.model.compiled))
	}()
	if err := b.apply(forth, m); err != nil {
		return nil, err
	}
	return b.answers(ctx, gone)
}

// answers asks all questions, without the relationships of tests that are gone.
func (b *bench) answers(ctx context.Context, gone func(authzcore.Relationship) bool) ([]string, error) {
	var out []string
	for _, r := range b.rounds {
		tuples := r.test.tuples
		if gone != nil {
			tuples = slices.DeleteFunc(slices.Clone(tuples), func(t tuple) bool { return gone(t.relationship) })
		}
		view, err := b.view(tuples)
		if err != nil {
			return nil, err
		}
		for _, q := range r.questions {
			got, err := q.answer(ctx, view)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			text := got.text(q.kind)
			if err != nil {
				text = "error: " + err.Error()
			}
			out = append(out, text)
		}
	}
	return out, nil
}

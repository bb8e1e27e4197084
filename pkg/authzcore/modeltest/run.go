package modeltest

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// Options say what is run. The zero Options run everything.
type Options struct {
	// Run limits the cases to those whose store, test and question, joined with
	// slashes, match; nil for all.
	Run *regexp.Regexp
	// Coverage also measures what of the models the assertions depend on. It
	// asks every question again for each branch of the model.
	Coverage bool
	// Root is the folder that all files must lie in; empty for the folder of
	// each store file.
	Root string
}

// Run runs the tests of store files, and of all *.fga.yaml under folders, in
// order. A case that fails is no error.
//
// Errors: *FileError (nothing was run), those of reading the folders, and
// ctx.Err() when ctx ended first.
func Run(ctx context.Context, paths []string, o Options) (*Report, error) {
	stores, err := load(ctx, paths, o)
	if err != nil {
		return nil, err
	}
	out := &Report{Suites: make([]Suite, 0, len(stores))}
	benches := make([]*bench, 0, len(stores))
	for _, s := range stores {
		b, err := newBench(s, o.Run)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.file, err)
		}
		suite, err := b.run(ctx)
		if err != nil {
			return nil, err
		}
		out.Suites = append(out.Suites, suite)
		benches = append(benches, b)
	}
	if o.Coverage {
		if out.Coverage, err = measure(ctx, benches); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bench is a store with its relationships in a graph, ready to be asked.
type bench struct {
	store *store
	graph *authzcore.Graph
	// rounds are the tests that have questions to ask.
	rounds []round
	// stored are the relationships of the store, by key.
	stored map[authzcore.Relationship]authzcore.Relationship
}

// round is a test and those of its questions that are asked.
type round struct {
	test      *test
	questions []*question
}

// newBench loads a store into a graph. A nil pattern matches all.
func newBench(s *store, pattern *regexp.Regexp) (*bench, error) {
	b := &bench{store: s, graph: authzcore.NewGraph(s.model.names), stored: map[authzcore.Relationship]authzcore.Relationship{}}
	changes := make([]authzcore.Change, 0, len(s.tuples))
	for _, t := range s.tuples {
		b.stored[t.relationship.Key()] = t.relationship
		changes = append(changes, authzcore.Change{Relationship: t.relationship})
	}
	if err := b.apply(changes, s.model.compiled); err != nil {
		return nil, err
	}
	for i := range s.tests {
		r := round{test: &s.tests[i]}
		for j := range r.test.questions {
			q := &r.test.questions[j]
			if pattern == nil || pattern.MatchString(s.name+"/"+r.test.name+"/"+q.name()) {
				r.questions = append(r.questions, q)
			}
		}
		if len(r.questions) > 0 {
			b.rounds = append(b.rounds, r)
		}
	}
	return b, nil
}

func (b *bench) apply(changes []authzcore.Change, m *authzcore.Model) error {
	return b.graph.Apply(b.graph.View().Sequence()+1, changes, m)
}

// view returns the graph with the relationships of a test as well. Views stay valid,
// so that the graph itself is left as it was.
func (b *bench) view(tuples []tuple) (*authzcore.View, error) {
	if len(tuples) == 0 {
		return b.graph.View(), nil
	}
	forth := make([]authzcore.Change, len(tuples))
	back := make([]authzcore.Change, len(tuples))
	for i, x := range tuples {
		forth[i] = authzcore.Change{Relationship: x.relationship}
		before, stored := b.stored[x.relationship.Key()]
		if !stored {
			before = x.relationship
		}
		back[i] = authzcore.Change{Relationship: before, Delete: !stored}
	}
	if err := b.apply(forth, nil); err != nil {
		return nil, err
	}
	view := b.graph.View()
	return view, b.apply(back, nil)
}

func (b *bench) run(ctx context.Context) (Suite, error) {
	out := Suite{Name: b.store.name, File: b.store.file, Cases: []Case{}}
	for _, r := range b.rounds {
		view, err := b.view(r.test.tuples)
		if err != nil {
			return out, fmt.Errorf("%s: %w", b.store.file, err)
		}
		for _, q := range r.questions {
			c := q.ask(ctx, view)
			if err := ctx.Err(); err != nil {
				return out, err
			}
			c.Test = r.test.name
			out.Cases = append(out.Cases, c)
		}
	}
	return out, nil
}

// ask answers a question and compares.
func (q *question) ask(ctx context.Context, view *authzcore.View) Case {
	c := Case{Name: q.name(), Place: q.at, Want: q.want.text(q.kind)}
	begin := time.Now()
	got, err := q.answer(ctx, view)
	c.Duration = time.Since(begin)
	switch {
	case err != nil:
		c.Outcome, c.Detail = Broken, words(err)
		return c
	case got.text(q.kind) == c.Want:
		c.Outcome, c.Got = Pass, c.Want
		return c
	}
	c.Outcome, c.Got = Fail, got.text(q.kind)
	c.Detail = q.difference(got) + q.why(ctx, view, got)
	return c
}

package modeltest

import "context"

// T is what Test needs of *testing.T; written so, the package does not link
// testing into programs that use Run.
type T[S any] interface {
	Context() context.Context
	Helper()
	Run(name string, fn func(S)) bool
	Error(args ...any)
	Fatal(args ...any)
}

// Test runs the tests of store files, and of all *.fga.yaml under folders, as
// subtests: store, test, question. It fails when there is no assertion at all.
// Paths are relative to the package's folder.
//
//	func TestModel(t *testing.T) { modeltest.Test(t, "model/store.fga.yaml") }
func Test[S T[S]](t S, paths ...string) {
	t.Helper()
	TestWith(t, Options{}, paths...)
}

// TestWith is Test with options. Coverage is not measured.
func TestWith[S T[S]](t S, o Options, paths ...string) {
	t.Helper()
	stores, err := load(t.Context(), paths, o)
	if err != nil {
		t.Fatal(err.Error())
	}
	asked := 0
	for _, s := range stores {
		b, err := newBench(s, o.Run)
		if err != nil {
			t.Fatal(s.file + ": " + err.Error())
		}
		if len(b.rounds) > 0 {
			asked++
			t.Run(s.name, func(t S) { testRounds(t, b) })
		}
	}
	if asked == 0 {
		t.Fatal("no assertion to test")
	}
}

func testRounds[S T[S]](t S, b *bench) {
	t.Helper()
	for _, r := range b.rounds {
		t.Run(r.test.name, func(t S) {
			view, err := b.view(r.test.tuples)
			if err != nil {
				t.Fatal(err.Error())
			}
			for _, q := range r.questions {
				t.Run(q.name(), func(t S) {
					if c := q.ask(t.Context(), view); c.Outcome != Pass {
						t.Error(c.Text())
					}
				})
			}
		})
	}
}

package authzcore_test

import (
	"bytes"
	"flag"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// large adds the work set of 10 M relationships: go test -bench . -args -large.
var large = flag.Bool("large", false, "benchmarks: also with 10 M relationships")

// sizes are 10 k and 1 M relationships, and 10 M on demand.
func sizes() []string {
	if *large {
		return []string{"small", "medium", "large"}
	}
	return []string{"small", "medium"}
}

func compileCloud(tb testing.TB, names *authzcore.Names) *authzcore.Model {
	tb.Helper()
	m, err := authzcore.Compile(names, []authzcore.File{{Path: "cloud.fga", Content: cloudModel(tb)}})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// replay feeds relationships as one event each, in batches.
func replay(tb testing.TB, g *authzcore.Graph, m *authzcore.Model, relationships []authzcore.Relationship) {
	tb.Helper()
	if err := g.Apply(1, nil, m); err != nil {
		tb.Fatal(err)
	}
	sequence := uint64(1)
	for part := range slices.Chunk(relationships, 1000) {
		batch := make([]authzcore.Applied, len(part))
		changes := make([]authzcore.Change, len(part))
		for i, r := range part {
			sequence++
			changes[i].Relationship = r
			batch[i] = authzcore.Applied{Sequence: sequence, Changes: changes[i : i+1]}
		}
		if err := g.ApplyBatch(batch); err != nil {
			tb.Fatal(err)
		}
	}
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkCheck prints the latency of single checks over the graph, in
// nanoseconds, beside a naive evaluator over Go maps in the same run.
func BenchmarkCheck(b *testing.B) {
	for _, n := range sizes() {
		s := readWorkSet(b, n)
		names := authzcore.NewNames()
		m := compileCloud(b, names)
		g := authzcore.NewGraph(names)
		replay(b, g, m, s.relationships)
		v := g.View()
		for i, q := range s.questions {
			if ok, err := v.Check(q); err != nil || ok != s.answers[i] {
				b.Fatalf("%v: %v, %v; want %v", q, ok, err, s.answers[i])
			}
		}
		b.Run("engine/"+n, func(b *testing.B) {
			measure(b, s.questions, func(q authzcore.Question) bool {
				ok, err := v.Check(q)
				if err != nil {
					b.Fatal(err)
				}
				return ok
			})
		})
		naive := authzcore.NaiveCheck(m, s.relationships)
		b.Run("naive/"+n, func(b *testing.B) { measure(b, s.questions, naive) })
	}
}

func measure(b *testing.B, questions []authzcore.Question, check func(authzcore.Question) bool) {
	b.ReportAllocs()
	took := make([]time.Duration, 0, 1<<20)
	yes, i, warm := 0, 0, 0
	for b.Loop() {
		q := questions[i%len(questions)]
		i++
		warm += touch(q) // a caller has just written its question
		start := time.Now()
		ok := check(q)
		if d := time.Since(start); len(took) < cap(took) {
			took = append(took, d)
		}
		if ok {
			yes++
		}
	}
	runtime.KeepAlive(warm)
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
	b.ReportMetric(100*float64(yes)/float64(i), "%yes")
}

func touch(q authzcore.Question) int {
	return strings.Count(q.Subject, ":") + strings.Count(q.Permission, ":") + strings.Count(q.Resource, ":")
}

// BenchmarkListObjects prints how many lists, and objects in them, are made in
// a second; every list has as many objects as the oracle says.
func BenchmarkListObjects(b *testing.B) {
	for _, n := range sizes() {
		s := readWorkSet(b, n)
		names := authzcore.NewNames()
		g := authzcore.NewGraph(names)
		replay(b, g, compileCloud(b, names), s.relationships)
		v := g.View()
		b.Run(n, func(b *testing.B) {
			i, objects := 0, 0
			for b.Loop() {
				l := s.lists[i%len(s.lists)]
				i++
				got, err := v.ListObjects(b.Context(), l.query, authzcore.Circumstances{})
				if err != nil || len(got) != l.count {
					b.Fatalf("%v: %d objects, %v; want %d", l.query, len(got), err, l.count)
				}
				objects += len(got)
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "lists/s")
			b.ReportMetric(float64(objects)/b.Elapsed().Seconds(), "objects/s")
			b.ReportMetric(float64(objects)/float64(i), "objects/list")
		})
	}
}

// BenchmarkCircumstances prints what a condition, and a relationship of the
// question's own, add to a check.
func BenchmarkCircumstances(b *testing.B) {
	s := readWorkSet(b, "medium")
	names := authzcore.NewNames()
	model := cloudModel(b) + "\ntype vault\n  relations\n    define reader: [user with office, user]\n" +
		"condition office(hour: int, from: int) {\n  hour >= from && hour < 18\n}\n"
	m, err := authzcore.Compile(names, []authzcore.File{{Path: "m.fga", Content: model}})
	if err != nil {
		b.Fatal(err)
	}
	g := authzcore.NewGraph(names)
	replay(b, g, m, s.relationships)
	conditional := authzcore.Relationship{
		Resource: "vault:1", Relation: "reader", Subject: "user:1", Terms: authzcore.Terms{Condition: "office", Context: `{"from":9}`},
	}
	plain := authzcore.Relationship{Resource: "vault:2", Relation: "reader", Subject: "user:1"}
	sequence := g.View().Sequence() + 1
	if err := g.Apply(sequence, []authzcore.Change{{Relationship: conditional}, {Relationship: plain}}, nil); err != nil {
		b.Fatal(err)
	}
	v := g.View()
	under := authzcore.Circumstances{Context: map[string]any{"hour": 12.0}}
	ask := func(b *testing.B, v *authzcore.View, resource string) {
		d, err := v.Decide(b.Context(), authzcore.Question{Subject: "user:1", Permission: "reader", Resource: resource}, under)
		if err != nil || d.Answer != authzcore.Allow {
			b.Fatal(d, err)
		}
	}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, v, "vault:2")
		}
	})
	b.Run("condition", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, v, "vault:1")
		}
	})
	b.Run("contextual", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			over, err := v.With([]authzcore.Relationship{{Resource: "vault:3", Relation: "reader", Subject: "user:1"}})
			if err != nil {
				b.Fatal(err)
			}
			ask(b, over, "vault:3")
		}
	})
}

// BenchmarkReplay prints how many events of one change each a graph takes in
// per second, and what it weighs then.
func BenchmarkReplay(b *testing.B) {
	for _, n := range sizes() {
		s := readWorkSet(b, n)
		b.Run(n, func(b *testing.B) {
			var g *authzcore.Graph
			before := heapBytes()
			for b.Loop() {
				names := authzcore.NewNames()
				g = authzcore.NewGraph(names)
				replay(b, g, compileCloud(b, names), s.relationships)
			}
			size := g.View().Size()
			b.ReportMetric(float64(len(s.relationships)*b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(size.Bytes)/float64(size.Relationships), "est-B/rel")
			b.ReportMetric(float64(heapBytes()-before)/float64(size.Relationships), "heap-B/rel")
			runtime.KeepAlive(g)
		})
	}
}

// BenchmarkSnapshot prints how fast snapshots are written and loaded.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range sizes() {
		s := readWorkSet(b, n)
		names := authzcore.NewNames()
		m := compileCloud(b, names)
		g := authzcore.NewGraph(names)
		replay(b, g, m, s.relationships)
		v := g.View()
		var out bytes.Buffer
		b.Run("write/"+n, func(b *testing.B) {
			for b.Loop() {
				out.Reset()
				if err := v.WriteSnapshot(&out, authzcore.Header{Organization: "org_1"}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(v.Size().Relationships)*float64(b.N)/b.Elapsed().Seconds(), "rel/s")
			b.ReportMetric(float64(out.Len())/float64(v.Size().Relationships), "B/rel")
		})
		b.Run("load/"+n, func(b *testing.B) {
			find := func(string) (*authzcore.Model, error) { return m, nil }
			var loaded *authzcore.Graph
			before := heapBytes()
			for b.Loop() {
				var err error
				if loaded, _, err = authzcore.LoadSnapshot(bytes.NewReader(out.Bytes()), names, find, authzcore.SnapshotLimits{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(v.Size().Relationships)*float64(b.N)/b.Elapsed().Seconds(), "rel/s")
			b.ReportMetric(float64(heapBytes()-before)/float64(v.Size().Relationships), "heap-B/rel")
			runtime.KeepAlive(loaded)
		})
	}
}

// BenchmarkApply prints what one event costs that is published on its own.
func BenchmarkApply(b *testing.B) {
	for _, n := range sizes() {
		s := readWorkSet(b, n)
		names := authzcore.NewNames()
		g := authzcore.NewGraph(names)
		replay(b, g, compileCloud(b, names), s.relationships)
		b.Run(n, func(b *testing.B) {
			b.ReportAllocs()
			sequence, i := g.View().Sequence(), 0
			for b.Loop() {
				sequence++
				r := s.relationships[(i/2*7919)%len(s.relationships)]
				if err := g.Apply(sequence, []authzcore.Change{{Relationship: r, Delete: i%2 == 0}}, nil); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

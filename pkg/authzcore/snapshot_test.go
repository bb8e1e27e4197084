package authzcore_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func write(t testing.TB, v *authzcore.View, h authzcore.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.WriteSnapshot(&b, h); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshotRoundTrip(t *testing.T) {
	s := readWorkSet(t, "small")
	names := authzcore.NewNames()
	m := compileCloud(t, names)
	g := authzcore.NewGraph(names)
	replay(t, g, m, s.relationships)
	gone := make([]authzcore.Change, 0, len(s.relationships))
	for i, r := range s.relationships {
		if i%3 == 0 {
			gone = append(gone, authzcore.Change{Relationship: r, Delete: true})
		}
	}
	if err := g.Apply(1_000_000, gone, nil); err != nil {
		t.Fatal(err)
	}
	v := g.View()
	data := write(t, v, authzcore.Header{Organization: "org_1", Hash: [32]byte{1, 2, 3}})
	// Another process has other numbers for the names.
	others := authzcore.NewNames()
	if _, err := authzcore.Compile(others, whole("model\n  schema 1.1\ntype zebra\n  relations\n    define z: [zebra]\n")); err != nil {
		t.Fatal(err)
	}
	asked := ""
	find := func(id string) (*authzcore.Model, error) {
		asked = id
		return compileCloud(t, others), nil
	}
	loaded, h, err := authzcore.LoadSnapshot(iotest.HalfReader(bytes.NewReader(data)), others, find, authzcore.SnapshotLimits{})
	if err != nil {
		t.Fatal(err)
	}
	want := authzcore.Header{Organization: "org_1", Hash: [32]byte{1, 2, 3}, Sequence: 1_000_000, Model: m.ID()}
	if h != want || asked != m.ID() {
		t.Errorf("header is %+v, model asked for is %s", h, asked)
	}
	w := loaded.View()
	if w.Sequence() != v.Sequence() || w.Model().ID() != m.ID() || w.Size().Relationships != v.Size().Relationships {
		t.Errorf("loaded %d relationships at %d", w.Size().Relationships, w.Sequence())
	}
	if w.Size().Objects >= v.Size().Objects {
		t.Errorf("%d objects of %d are left: those without relationships must go", w.Size().Objects, v.Size().Objects)
	}
	if !slices.Equal(texts(v), texts(w)) {
		t.Error("other relationships came back")
	}
	sameAnswers(t, v, w, s.questions)
	// It goes on from there.
	if err := loaded.Apply(1_000_001, gone[:10], nil); err != nil {
		t.Fatal(err)
	}
	for i := range gone {
		gone[i].Delete = false
	}
	if err := loaded.Apply(1_000_002, gone, nil); err != nil || int(loaded.View().Size().Relationships) != len(texts(loaded.View())) {
		t.Fatal(err, loaded.View().Size())
	}
}

func sameAnswers(t *testing.T, v, w *authzcore.View, questions []authzcore.Question) {
	t.Helper()
	for _, q := range questions {
		a, errA := v.Check(q)
		b, errB := w.Check(q)
		if a != b || errA != nil || errB != nil {
			t.Fatalf("%+v: %v, %v before; %v, %v after", q, a, errA, b, errB)
		}
	}
}

func small(t testing.TB) (names *authzcore.Names, m *authzcore.Model, data []byte) {
	g := graphOf(t, teams, "doc:1#a@user:u", "doc:1#a@user:*", "doc:1#a@group:1#member", "group:1#member@group:2#member", "group:2#member@user:u", "doc:2#parent@doc:1")
	names = authzcore.NewNames()
	m, err := authzcore.Compile(names, whole("model\n  schema 1.1\n"+teams))
	if err != nil {
		t.Fatal(err)
	}
	return names, m, write(t, g.View(), authzcore.Header{Organization: "org_1"})
}

func TestSnapshotDamage(t *testing.T) {
	names, m, data := small(t)
	load := func(b []byte) error {
		_, _, err := authzcore.LoadSnapshot(bytes.NewReader(b), names, func(string) (*authzcore.Model, error) { return m, nil }, authzcore.SnapshotLimits{})
		return err
	}
	if err := load(data); err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := load(data[:n]); !errors.Is(err, authzcore.ErrSnapshotCorrupt) {
			t.Fatalf("truncated to %d of %d bytes: %v", n, len(data), err)
		}
	}
	for i := range 8 * len(data) {
		flipped := slices.Clone(data)
		flipped[i/8] ^= 1 << (i % 8)
		if err := load(flipped); !errors.Is(err, authzcore.ErrSnapshotCorrupt) {
			t.Fatalf("with bit %d flipped: %v", i, err)
		}
	}
}

func TestSnapshotErrorsOfOthers(t *testing.T) {
	names, m, data := small(t)
	mine := errors.New("mine")
	_, _, err := authzcore.LoadSnapshot(bytes.NewReader(data), names, func(string) (*authzcore.Model, error) { return nil, mine }, authzcore.SnapshotLimits{})
	if !errors.Is(err, mine) || errors.Is(err, authzcore.ErrSnapshotCorrupt) {
		t.Errorf("the model's error comes back as %v", err)
	}
	find := func(string) (*authzcore.Model, error) { return m, nil }
	_, _, err = authzcore.LoadSnapshot(io.MultiReader(bytes.NewReader(data[:20]), iotest.ErrReader(mine)), names, find, authzcore.SnapshotLimits{})
	if !errors.Is(err, mine) || errors.Is(err, authzcore.ErrSnapshotCorrupt) {
		t.Errorf("the reader's error comes back as %v", err)
	}
	_, _, err = authzcore.LoadSnapshot(bytes.NewReader(data), names, find, authzcore.SnapshotLimits{MaxBytes: 100})
	if !errors.Is(err, authzcore.ErrSnapshotTooLarge) {
		t.Errorf("a snapshot above the limit: %v", err)
	}
	if err := graphOf(t, teams).View().WriteSnapshot(failing{mine}, authzcore.Header{}); !errors.Is(err, mine) {
		t.Errorf("the writer's error comes back as %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzLoadSnapshot(f *testing.F) {
	names, m, data := small(f)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		g, _, err := authzcore.LoadSnapshot(bytes.NewReader(b), names, func(string) (*authzcore.Model, error) { return m, nil }, authzcore.SnapshotLimits{MaxBytes: 1 << 24})
		if (g == nil) != (err != nil) {
			t.Fatalf("%v, %v", g, err)
		}
		if err == nil && int(g.View().Size().Relationships) != len(texts(g.View())) {
			t.Fatal("it counts wrongly")
		}
	})
}

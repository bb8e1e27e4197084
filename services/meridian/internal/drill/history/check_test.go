package history_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

const (
	acme     = "org_acme"
	anna     = "document:1#viewer@user:anna"
	bob      = "document:1#viewer@user:bob"
	patience = 20 * time.Second
)

// op is a call of anna's relationship from start to end, in milliseconds.
func op(kind history.Kind, start, end int, outcome history.Outcome, revision uint64) history.Op {
	return history.Op{
		Client: "canary", Region: "eu-west", Kind: kind, Organization: acme, Relationship: anna,
		Start: time.Duration(start) * time.Millisecond, End: time.Duration(end) * time.Millisecond,
		Outcome: outcome, Revision: revision,
	}
}

func touch(start, end int, revision uint64) history.Op {
	return op(history.KindTouch, start, end, history.OK, revision)
}

func remove(start, end int, revision uint64) history.Op {
	return op(history.KindDelete, start, end, history.OK, revision)
}

func unknown(kind history.Kind, start, end int) history.Op {
	return op(kind, start, end, history.Unknown, 0)
}

// unchanged is a write that found what it wanted.
func unchanged(o history.Op) history.Op {
	o.Unchanged = true
	return o
}

// of moves an operation to another relationship.
func of(relationship string, o history.Op) history.Op {
	o.Relationship = relationship
	return o
}

func full(start, end int, revision uint64, allowed bool) history.Op {
	o := op(history.KindCheck, start, end, history.OK, revision)
	o.Freshness, o.Allowed = history.FullyConsistent, allowed
	return o
}

func token(start, end int, token, revision uint64, allowed bool) history.Op {
	o := full(start, end, revision, allowed)
	o.Freshness, o.AtLeast = history.AtLeast, token
	return o
}

// local is a check of minimal latency; age is in milliseconds, 0 for any.
func local(start, end, age int, revision uint64, allowed bool) history.Op {
	o := full(start, end, revision, allowed)
	o.Freshness, o.MaxAge = history.MinimizeLatency, time.Duration(age)*time.Millisecond
	return o
}

func keyed(key string, start, end int, outcome history.Outcome, revision uint64) history.Op {
	o := op(history.KindKeyedWrite, start, end, outcome, revision)
	o.Relationship, o.IdempotencyKey = "", key
	return o
}

func create(start, end int, outcome history.Outcome) history.Op {
	o := op(history.KindCreate, start, end, outcome, 0)
	o.Organization, o.Relationship, o.Slug = "", "", "acme"
	return o
}

const (
	allowed = true
	denied  = false
)

// scenario is a history, and where it must be found wrong: in which models, and
// which operations of it the first of them names, by index.
type scenario struct {
	name  string
	ops   []history.Op
	wrong []string
	why   []int
}

const (
	relationships = "relationships"
	revisions     = "revisions"
	keys          = "idempotency keys"
	slugs         = "slugs"
)

var scenarios = slices.Concat(registers, tokens, unknowns, others)

var registers = []scenario{
	{name: "nothing"},
	{name: "absent at first", ops: []history.Op{full(0, 1, 3, denied)}},
	{
		name: "write and check",
		ops:  []history.Op{touch(0, 10, 5), full(11, 12, 5, allowed), remove(13, 20, 6), full(21, 22, 6, denied)},
	},
	{
		name: "a check during the write may see it or not",
		ops:  []history.Op{touch(0, 10, 5), full(1, 9, 5, allowed), full(1, 2, 4, denied)},
	},
	{
		name:  "lost update: acknowledged, and not there",
		ops:   []history.Op{touch(0, 10, 5), full(11, 12, 6, denied)},
		wrong: []string{relationships}, why: []int{0, 1},
	},
	{
		name:  "lost update: a fully consistent check before the write's revision",
		ops:   []history.Op{touch(0, 10, 5), full(11, 12, 4, denied)},
		wrong: []string{relationships, revisions}, why: []int{0, 1},
	},
	{
		name:  "resurrected: allowed after the delete",
		ops:   []history.Op{touch(0, 10, 5), remove(11, 20, 6), full(12, 13, 5, allowed), full(21, 22, 7, allowed)},
		wrong: []string{relationships}, why: []int{1, 3},
	},
	{
		name:  "seen before it was written",
		ops:   []history.Op{full(0, 1, 5, allowed), touch(2, 10, 5)},
		wrong: []string{relationships, revisions}, why: []int{0},
	},
	{
		name:  "a later write has an earlier revision",
		ops:   []history.Op{touch(0, 10, 5), remove(11, 20, 4)},
		wrong: []string{relationships, revisions},
	},
	{
		name:  "two writes, one revision",
		ops:   []history.Op{touch(0, 10, 5), remove(0, 10, 5)},
		wrong: []string{relationships, revisions}, why: []int{0, 1},
	},
	{
		name:  "two relationships, one revision",
		ops:   []history.Op{touch(0, 10, 5), of(bob, touch(0, 10, 5))},
		wrong: []string{revisions}, why: []int{0, 1},
	},
	{
		name:  "two relationships, revisions against time",
		ops:   []history.Op{touch(0, 10, 5), of(bob, touch(11, 20, 4))},
		wrong: []string{revisions}, why: []int{0, 1},
	},
	{
		name:  "an answer without a revision",
		ops:   []history.Op{full(0, 1, 0, denied)},
		wrong: []string{relationships}, why: []int{0},
	},
	{
		name: "a touch of what is present changes nothing",
		ops:  []history.Op{touch(0, 10, 5), unchanged(touch(11, 20, 7)), full(21, 22, 7, allowed)},
	},
	{
		name:  "a touch of what is absent changed nothing",
		ops:   []history.Op{touch(0, 10, 5), remove(11, 20, 6), unchanged(touch(21, 30, 6))},
		wrong: []string{relationships}, why: []int{1, 2},
	},
	{
		name:  "a touch of what is present changed something",
		ops:   []history.Op{touch(0, 10, 5), touch(11, 20, 6)},
		wrong: []string{relationships}, why: []int{0, 1},
	},
	{
		name: "refused and failed writes are not done",
		ops: []history.Op{
			op(history.KindTouch, 0, 10, history.Refused, 0), op(history.KindTouch, 0, 10, history.Failed, 0), full(11, 12, 4, denied),
		},
	},
	{
		name:  "a refused write is seen",
		ops:   []history.Op{op(history.KindTouch, 0, 10, history.Refused, 0), full(11, 12, 4, allowed)},
		wrong: []string{relationships}, why: []int{1},
	},
}

var tokens = []scenario{
	{
		name: "a check with a token may be older than the newest write",
		ops:  []history.Op{touch(0, 10, 5), remove(11, 20, 6), token(21, 22, 5, 5, allowed)},
	},
	{
		name:  "stale read: evaluated before the token",
		ops:   []history.Op{touch(0, 10, 5), token(11, 12, 5, 4, denied)},
		wrong: []string{relationships, revisions}, why: []int{1},
	},
	{
		name:  "stale read: the revision of the token, the value before",
		ops:   []history.Op{touch(0, 10, 5), token(11, 12, 5, 5, denied)},
		wrong: []string{relationships}, why: []int{0, 1},
	},
	{
		name: "a token of another relationship",
		ops:  []history.Op{of(bob, touch(0, 10, 5)), token(11, 12, 5, 5, denied)},
	},
	{
		name:  "a revision of the future",
		ops:   []history.Op{touch(0, 10, 5), token(11, 12, 5, 6, denied), remove(13, 20, 6)},
		wrong: []string{relationships, revisions},
	},
	{
		name: "a token in another client's hand while the write's answer is under way",
		ops:  []history.Op{keyed("k", 0, 90, history.Unknown, 0), keyed("k", 40, 50, history.OK, 5), token(60, 61, 5, 5, denied)},
	},
	{
		name: "minimal latency may be old, and is right for its revision",
		ops:  []history.Op{touch(0, 10, 5), remove(11, 20, 6), local(900, 901, 0, 5, allowed), local(900, 901, 0, 4, denied)},
	},
	{
		name:  "minimal latency, wrong for its revision",
		ops:   []history.Op{touch(0, 10, 5), remove(11, 20, 6), local(900, 901, 0, 6, allowed)},
		wrong: []string{relationships}, why: []int{1, 2},
	},
	{
		name: "as old as it may be",
		ops:  []history.Op{touch(0, 10, 5), remove(11, 20, 6), local(5020, 5021, 5000, 5, allowed)},
	},
	{
		name:  "older than it may be",
		ops:   []history.Op{touch(0, 10, 5), remove(11, 20, 6), local(5021, 5022, 5000, 5, allowed)},
		wrong: []string{relationships, revisions}, why: []int{1, 2},
	},
}

var unknowns = []scenario{
	{
		name: "an unknown write is seen later",
		ops:  []history.Op{unknown(history.KindTouch, 0, 10), full(11, 12, 4, denied), full(500, 501, 5, allowed)},
	},
	{
		name: "an unknown write is never seen",
		ops:  []history.Op{unknown(history.KindTouch, 0, 10), full(11, 12, 4, denied), full(500, 501, 4, denied)},
	},
	{
		name:  "an unknown write is seen before it was called",
		ops:   []history.Op{full(0, 1, 5, allowed), unknown(history.KindTouch, 2, 10)},
		wrong: []string{relationships}, why: []int{0},
	},
	{
		name:  "an unknown write is seen, and then not, without a delete",
		ops:   []history.Op{unknown(history.KindTouch, 0, 10), full(11, 12, 5, allowed), full(13, 14, 6, denied)},
		wrong: []string{relationships}, why: []int{1, 2},
	},
	{
		name: "an unknown write is seen, and then not, after an unknown delete",
		ops: []history.Op{
			unknown(history.KindTouch, 0, 10), full(11, 12, 5, allowed), unknown(history.KindDelete, 11, 12), full(13, 14, 6, denied),
		},
	},
	{
		name:  "no room for it between two revisions",
		ops:   []history.Op{remove(20, 30, 6), touch(0, 10, 5), unknown(history.KindDelete, 0, 10), full(11, 12, 5, denied)},
		wrong: []string{relationships},
	},
	{
		name: "each unknown write is one write",
		ops: []history.Op{
			unknown(history.KindTouch, 0, 10), full(11, 12, 5, allowed), remove(13, 20, 6), full(21, 22, 7, allowed),
		},
		wrong: []string{relationships}, why: []int{2, 3},
	},
	{
		name: "two unknown writes, two times seen",
		ops: []history.Op{
			unknown(history.KindTouch, 0, 10), unknown(history.KindTouch, 0, 10),
			full(11, 12, 5, allowed), remove(13, 20, 6), full(21, 22, 7, allowed),
		},
	},
	{
		name: "a write meets an unknown one",
		ops:  []history.Op{unknown(history.KindTouch, 0, 10), unchanged(touch(20, 30, 5)), remove(31, 40, 6)},
	},
}

var others = []scenario{
	{
		name: "one key, one revision",
		ops: []history.Op{
			keyed("k", 0, 10, history.Unknown, 0), keyed("k", 11, 20, history.OK, 5), keyed("k", 11, 30, history.OK, 5),
			keyed("k", 31, 40, history.Refused, 0), keyed("other", 31, 40, history.OK, 6),
		},
	},
	{
		name:  "one key, two revisions",
		ops:   []history.Op{keyed("k", 0, 10, history.OK, 5), keyed("k", 11, 20, history.OK, 5), keyed("k", 21, 30, history.OK, 8)},
		wrong: []string{keys},
	},
	{
		name:  "a keyed write has the revision of another write",
		ops:   []history.Op{touch(0, 10, 5), keyed("k", 0, 10, history.OK, 5)},
		wrong: []string{revisions}, why: []int{0, 1},
	},
	{
		name: "one winner",
		ops:  []history.Op{create(0, 10, history.OK), create(0, 5, history.Exists), create(20, 30, history.Exists), create(0, 5, history.Failed)},
	},
	{
		name:  "two winners of a slug",
		ops:   []history.Op{create(0, 10, history.OK), create(5, 20, history.Exists), create(5, 20, history.OK)},
		wrong: []string{slugs}, why: []int{0, 2},
	},
	{
		name:  "exists without a winner",
		ops:   []history.Op{create(0, 10, history.Exists), create(0, 10, history.Refused)},
		wrong: []string{slugs}, why: []int{0},
	},
	{
		name:  "exists before the winner called",
		ops:   []history.Op{create(0, 10, history.Exists), create(11, 20, history.OK)},
		wrong: []string{slugs}, why: []int{0},
	},
	{
		name: "exists, and the winner does not know",
		ops:  []history.Op{create(0, 10, history.Unknown), create(11, 20, history.Exists), create(30, 40, history.Unknown)},
	},
	{
		name:  "whoever does not know won, and another one too",
		ops:   []history.Op{create(0, 10, history.Unknown), create(11, 20, history.Exists), create(21, 30, history.OK)},
		wrong: []string{slugs}, why: []int{1, 2},
	},
}

func TestCheck(t *testing.T) {
	for _, s := range scenarios {
		t.Run(strings.ReplaceAll(s.name, " ", "_"), func(t *testing.T) {
			report := history.Check(s.ops, patience)
			var wrong []string
			for _, m := range report.Models {
				if m.Verdict != history.Holds {
					wrong = append(wrong, m.Model)
				}
				if (m.Verdict == history.Violated) != (len(m.Violations) > 0) {
					t.Errorf("%s: %s with %d explanations", m.Model, m.Verdict, len(m.Violations))
				}
			}
			if diff := cmp.Diff(s.wrong, wrong); diff != "" {
				t.Fatal(diff)
			}
			if s.why == nil {
				return
			}
			var want []history.Op
			for _, i := range s.why {
				want = append(want, s.ops[i])
			}
			if diff := cmp.Diff(want, first(report).Ops); diff != "" {
				t.Errorf("the explanation: %s", diff)
			}
		})
	}
}

// first is the first violation of a report.
func first(r history.Report) history.Violation {
	for _, m := range r.Models {
		if len(m.Violations) > 0 {
			return m.Violations[0]
		}
	}
	return history.Violation{}
}

func TestCheckWithoutTime(t *testing.T) {
	report := history.Check([]history.Op{touch(0, 10, 5), full(11, 12, 6, denied)}, 0)
	if got := report.Verdict(); got != history.Undecided {
		t.Errorf("the verdict is %q", got)
	}
}

// When the time is over, what contradicts is not looked for any further. (It took
// minutes.)
func TestCheckEndsInTime(t *testing.T) {
	var ops []history.Op
	for i := range 20_000 {
		ops = append(ops, full(2*i, 2*i+1, uint64(i+1), i%2 == 0))
	}
	report := history.Check(ops, 2*time.Second)
	if report.Verdict() == history.Holds {
		t.Error("the verdict is ok")
	}
}

// A region that knows no outcome for long must not make the search long: these
// have hundreds of unknown writes, any of which may have been seen.
func TestManyUnknownWrites(t *testing.T) {
	var ops []history.Op
	for i := range 300 {
		ops = append(ops, unknown(history.KindTouch, i, i+1), unknown(history.KindDelete, i, i+1))
	}
	for i := range 100 {
		ops = append(ops, full(400+2*i, 401+2*i, uint64(10*i+10), i%2 == 0))
	}
	if got := history.Check(ops, patience).Verdict(); got != history.Holds {
		t.Errorf("the verdict is %q", got)
	}
	wrong := slices.Concat(ops, []history.Op{
		unknown(history.KindTouch, 910, 911), full(900, 901, 2000, denied), full(902, 903, 2000, allowed),
	})
	report := history.Check(wrong, patience)
	if report.Verdict() != history.Violated {
		t.Fatalf("the verdict is %q", report.Verdict())
	}
	why := first(report)
	if diff := cmp.Diff(wrong[len(wrong)-2:], why.Ops); diff != "" {
		t.Error(diff)
	}
	if len(why.Maybe) != 600 {
		t.Errorf("%d unknown writes are named", len(why.Maybe))
	}
}

// Nor must many checks at once, each at its own revision.
func TestManyChecksAtOnce(t *testing.T) {
	var ops []history.Op
	for i := range 60 {
		ops = append(ops, full(i, 1000+i, uint64(100+i), denied))
	}
	if got := history.Check(ops, patience).Verdict(); got != history.Holds {
		t.Errorf("the verdict is %q", got)
	}
	ops[59].Allowed = true
	if got := history.Check(ops, patience).Verdict(); got != history.Violated {
		t.Errorf("the verdict is %q", got)
	}
}

func TestWriteHTML(t *testing.T) {
	report := history.Check([]history.Op{touch(0, 10, 5), unknown(history.KindTouch, 0, 3), full(11, 12, 6, denied)}, patience)
	var page bytes.Buffer
	if err := first(report).WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<html", "denied at 6", "touch " + anna + ": unknown"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestRecorder(t *testing.T) {
	var (
		r    history.Recorder
		wait sync.WaitGroup
	)
	for i := range 8 {
		wait.Go(func() {
			for j := range 100 {
				r.Add(touch(800-8*j-i, 1000, 1))
			}
		})
	}
	wait.Wait()
	ops := r.Ops()
	if len(ops) != 800 || !slices.IsSortedFunc(ops, func(a, b history.Op) int { return int(a.Start - b.Start) }) {
		t.Errorf("%d operations, or not by start", len(ops))
	}
}

func TestWrite(t *testing.T) {
	want := []history.Op{touch(0, 10, 5), token(11, 12, 5, 7, allowed), local(11, 12, 5000, 7, denied), create(0, 5, history.Exists)}
	want[3].Reason = "ORGANIZATION_EXISTS"
	var file bytes.Buffer
	if err := history.Write(&file, want); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(file.String()), "\n")
	const second = `{"client":"canary","region":"eu-west","kind":"check","organization":"org_acme","relationship":"document:1#viewer@user:anna",` +
		`"freshness":"at_least","at_least":5,"start_ns":11000000,"end_ns":12000000,"outcome":"ok","revision":7,"allowed":true}`
	if len(lines) != len(want) || lines[1] != second {
		t.Fatalf("the file is\n%s", file.String())
	}
	got := make([]history.Op, len(lines))
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestString(t *testing.T) {
	refused := create(0, 5, history.Refused)
	refused.Reason = "REGION_UNAVAILABLE"
	for _, c := range []struct {
		op   history.Op
		want string
	}{
		{touch(1200, 1250, 5), "1.2s–1.25s canary (eu-west) touch " + anna + ": ok at 5"},
		{unchanged(touch(0, 1, 5)), "0s–1ms canary (eu-west) touch " + anna + ": unchanged at 5"},
		{token(0, 1, 7, 9, allowed), "0s–1ms canary (eu-west) check " + anna + " at_least 7: allowed at 9"},
		{local(0, 1, 0, 9, denied), "0s–1ms canary (eu-west) check " + anna + " minimize_latency: denied at 9"},
		{refused, "0s–5ms canary (eu-west) create acme: refused (REGION_UNAVAILABLE)"},
	} {
		if got := c.op.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

package activity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/activity"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// refused is a refusal of a registered client's request.
func refused(client, code, trace string) activity.Observation {
	return activity.Observation{
		Kind: auditv1.ActivityKind_ACTIVITY_KIND_REQUEST_REFUSED, Organization: "org_" + client, Client: client, Registered: true,
		Issuer: "https://id.example.com", Endpoint: "POST /oauth2/token", Error: code, Description: "because of " + code, Trace: trace,
	}
}

// line shows a record: error, client, trace, count, and from when until when in seconds
// after noon.
func line(r activity.Record) string {
	return fmt.Sprintf("%s %s %s %d× %.0f-%.0f", r.Error, r.Client, r.Trace, r.Count, r.First.Sub(noon).Seconds(), r.Last.Sub(noon).Seconds())
}

func TestFold(t *testing.T) {
	t.Parallel()
	type seen struct {
		at int // seconds after noon
		o  activity.Observation
	}
	for name, tc := range map[string]struct {
		given []seen
		// want is what is written at each observation, and at the end.
		want []string
	}{
		"nothing":                {nil, []string{""}},
		"one is written at once": {[]seen{{0, refused("a", "x", "t1")}}, []string{"x a t1 1× 0-0", ""}},
		"the same is counted": {
			[]seen{{0, refused("a", "x", "t1")}, {1, refused("a", "x", "t2")}, {59, refused("a", "x", "t3")}},
			[]string{"x a t1 1× 0-0", "", "", "x a t2 2× 1-59"},
		},
		"another client, another error and another sentence are not the same": {
			[]seen{
				{0, refused("a", "x", "")},
				{1, refused("b", "x", "")},
				{2, refused("a", "y", "")},
				{3, activity.Observation{Client: "a", Error: "x", Description: "another"}},
			},
			[]string{"x a  1× 0-0", "x b  1× 1-1", "y a  1× 2-2", "x a  1× 3-3", ""},
		},
		"when the minute is over, what was counted and the first of the next": {
			[]seen{{0, refused("a", "x", "t1")}, {30, refused("a", "x", "t2")}, {60, refused("a", "x", "t3")}, {61, refused("a", "x", "t4")}},
			[]string{"x a t1 1× 0-0", "", "x a t2 1× 30-30, x a t3 1× 60-60", "", "x a t4 1× 61-61"},
		},
		"a minute begins with the first": {
			[]seen{{50, refused("a", "x", "t1")}, {109, refused("a", "x", "t2")}, {110, refused("a", "x", "t3")}},
			[]string{"x a t1 1× 50-50", "", "x a t2 1× 109-109, x a t3 1× 110-110", ""},
		},
		"a clock that goes back": {
			[]seen{{10, refused("a", "x", "t1")}, {9, refused("a", "x", "t2")}, {8, refused("a", "x", "t3")}},
			[]string{"x a t1 1× 10-10", "", "", "x a t2 2× 9-9"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f activity.Fold
			var got []string
			for _, s := range tc.given {
				got = append(got, lines(f.See(s.o, noon.Add(time.Duration(s.at)*time.Second))))
			}
			got = append(got, lines(f.End()))
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func lines(records []activity.Record) string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = line(r)
	}
	return strings.Join(out, ", ")
}

func TestFoldTick(t *testing.T) {
	t.Parallel()
	var f activity.Fold
	if got := f.Tick(noon); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	f.See(refused("a", "x", ""), noon)
	f.See(refused("a", "x", ""), noon)
	if got := f.Tick(noon.Add(time.Minute - 1)); len(got) != 0 {
		t.Errorf("before the minute is over: %v", got)
	}
	if got := lines(f.Tick(noon.Add(time.Minute))); got != "x a  1× 0-0" {
		t.Errorf("when it is over: %s", got)
	}
	if got := f.Tick(noon.Add(time.Hour)); len(got) != 0 {
		t.Errorf("twice: %v", got)
	}
}

// A stranger who makes up names fills what is kept for strangers, and no more; what
// registered clients do is told apart as before.
func TestFoldFlood(t *testing.T) {
	t.Parallel()
	var f activity.Fold
	stranger := func(i int) activity.Observation {
		o := refused(fmt.Sprint("made-up-", i), "x", "")
		o.Organization, o.Registered = "", false
		return o
	}
	var records []activity.Record
	for i := range 10_000 {
		records = append(records, f.See(stranger(i), noon)...)
	}
	if got := f.See(refused("a", "x", ""), noon); lines(got) != "x a  1× 0-0" {
		t.Errorf("of a registered client: %v", got)
	}
	records = append(records, f.End()...)
	total := uint64(0)
	for _, r := range records {
		total += r.Count
	}
	last := records[len(records)-1]
	if len(records) != activity.MaxOthers+2 || total != 10_000 {
		t.Errorf("%d records of %d refusals", len(records), total)
	}
	if last.Client != "" || last.Organization != "" || last.Description != "" || last.Endpoint != "POST /oauth2/token" || last.Issuer == "" {
		t.Errorf("those that are too many are %+v", last.Observation)
	}
}

// FuzzFold: whatever comes, the counts add up and the records of a minute are few.
func FuzzFold(f *testing.F) {
	f.Add([]byte("aaabbbzzz\x00\xff\x10"))
	f.Add([]byte{200, 200, 60, 60, 0, 255, 255})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var fold activity.Fold
		at, records := noon, []activity.Record(nil)
		for i, b := range steps {
			at = at.Add(time.Duration(b%64) * time.Second)
			o := refused(fmt.Sprint(i%(int(b)+1)), fmt.Sprint(b%3), fmt.Sprint(i))
			o.Registered = b%2 == 0
			records = append(records, fold.See(o, at)...)
		}
		records = append(records, fold.End()...)
		total := 0
		for _, r := range records {
			if r.Count == 0 || r.Last.Before(r.First) {
				t.Errorf("a record is %+v", r)
			}
			total += int(r.Count)
		}
		if total != len(steps) || len(fold.End()) != 0 {
			t.Errorf("%d were seen, %d are in the records", len(steps), total)
		}
	})
}

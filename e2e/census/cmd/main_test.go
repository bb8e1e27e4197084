package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/census"
)

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, 0, "Examples:"},
		{[]string{"-sizes", "1000"}, 2, "-sizes"},
		{[]string{"-sizes", "1000/many"}, 2, "-sizes"},
		{[]string{"-sizes", "10/100"}, 2, "from 500/5000 on"},
		{[]string{"-sizes", "1000/10000,1000/20000"}, 2, "ascending"},
		{[]string{"-sizes", "1000/99999999"}, 2, "up to 10 million"},
		{[]string{"-calls", "4"}, 2, "-calls"},
		{[]string{"-slow", "0"}, 2, "-slow"},
		{[]string{"-out", "a/b"}, 2, "names, not paths"},
		{[]string{"more"}, 2, "argument too many"},
		{[]string{"-from", "no-such-run"}, 1, "no-such-run.json"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), test.args, &stdout, &stderr); code != test.code {
				t.Errorf("the exit code is %d, want %d", code, test.code)
			}
			if !strings.Contains(stderr.String(), test.says) || stdout.Len() > 0 {
				t.Errorf("said %q and printed %q", stderr.String(), stdout.String())
			}
		})
	}
}

func TestSizes(t *testing.T) {
	o, err := parse([]string{"-sizes", "500/5000, 600/6000", "-calls", "13", "-small"}, &bytes.Buffer{})
	if err != nil || !slices.Equal(o.sizes, []census.Size{{Organizations: 500, Users: 5000}}) || o.calls != 10 || o.slow != 10 {
		t.Errorf("%+v: %v", o, err)
	}
}

// The run that is kept prints again.
func TestKept(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-from", "census"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if !strings.Contains(stdout.String(), "| call | calls | 1 000, 10 000 |") {
		t.Errorf("printed %q", stdout.String())
	}
}

func TestMiddle(t *testing.T) {
	for given, want := range map[string]string{"a": "a", "ab": "a", "abcdefghij": "ef", "abcde": "c"} {
		if got := strings.Join(middle(strings.Split(given, "")), ""); got != want {
			t.Errorf("the middle of %q is %q, want %q", given, got, want)
		}
	}
}

// All rows of a table have its columns, and the counts agree.
func TestTables(t *testing.T) {
	p := &population{large: "org_large", joined: 200}
	for n := range 30 {
		p.organizations, p.members = append(p.organizations, census.Slug(n)), append(p.members, 0)
		p.groups = append(p.groups, "grp_a", "grp_b", "grp_c")
	}
	for n := range 300 {
		p.users = append(p.users, census.PersonOf(n).Email)
	}
	s := span{population: p, at: time.Unix(0, 0)}
	homes := 0
	for _, organization := range s.memberships() {
		p.members[organization]++
		homes++
	}
	counts := map[string]int{}
	for _, table := range s.tables() {
		for row := range table.rows {
			if len(row) != len(table.columns) {
				t.Fatalf("%s has %d columns, and a row of %d", table.name, len(table.columns), len(row))
			}
			counts[table.name]++
		}
	}
	for table, want := range map[string]int{
		"users": 300, "profiles": 300, "user_emails": 300, "credentials": 300, "user_keys": 300, "organizations": 30, "groups": 90,
		"invitations": 30, "counts": 60, "logs": 330, "events": 330 + homes, "group_members": homes, "memberships": homes + 200,
		"search_words": 2 * (homes + 200 + 300),
	} {
		if counts[table] != want {
			t.Errorf("%s has %d rows, want %d", table, counts[table], want)
		}
	}
}

// Two small sizes: every list is whole, every call is answered, and each has
// figures.
func TestRun(t *testing.T) {
	var stderr bytes.Buffer
	o, err := parse([]string{"-sizes", "500/9000,510/9100", "-calls", "5", "-slow", "5"}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	root, err := root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{o: o, root: root, stderr: &stderr, began: time.Now()}
	if err := b.all(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, s := range b.run.Steps {
		if s.Fill.Rows == 0 || s.Fill.Database == 0 || len(s.Walks) != 3 || len(s.Figures) < 25 {
			t.Errorf("%d users: %+v", s.Users, s)
		}
		for _, f := range s.Figures {
			if f.N != 5 || f.P50 <= 0 || f.P99 < f.P50 {
				t.Errorf("%d users: %+v", s.Users, f)
			}
		}
	}
	kept, err := json.Marshal(b.run)
	if err != nil || !strings.Contains(string(kept), `"organizations":510`) {
		t.Errorf("%s: %v", kept, err)
	}
}

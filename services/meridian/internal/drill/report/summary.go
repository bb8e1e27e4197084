package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Summary writes one line for each drill: its verdict, the events it lost, the
// worst RTO of each group of functions, the oldest answer and the checks that
// were allowed though access was revoked.
func Summary(w io.Writer, reports []Report) error {
	var groups []string
	for _, r := range reports {
		for _, f := range r.Functions {
			if !slices.Contains(groups, f.Group) {
				groups = append(groups, f.Group)
			}
		}
	}
	t := table{header: []string{"DRILL", "VERDICT", "RPO"}}
	for _, group := range groups {
		t.header = append(t.header, "RTO "+group)
	}
	t.header = append(t.header, "STALEST", "FORBIDDEN")
	for _, r := range reports {
		row := []string{r.Drill, string(r.Verdict), strconv.Itoa(r.RPO.Missing)}
		for _, group := range groups {
			row = append(row, worst(r.Functions, group))
		}
		t.add(append(row, orNone(r.Staleness.MaxAge()), strconv.Itoa(r.Verification.ForbiddenAllows))...)
	}
	var b strings.Builder
	t.write(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

// worst is the longest RTO of a group; one that did not recover is longer than
// any that did.
func worst(functions []Function, group string) string {
	var most *Function
	for i, f := range functions {
		if f.Group == group && (most == nil || f.slower(*most)) {
			most = &functions[i]
		}
	}
	if most == nil {
		return "–"
	}
	return most.rto()
}

// slower says whether f recovered later than g.
func (f Function) slower(g Function) bool {
	switch {
	case f.RTO == nil:
		return false
	case g.RTO == nil, g.Recovered && !f.Recovered:
		return true
	}
	return f.Recovered == g.Recovered && *f.RTO > *g.RTO
}

package modeltest

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is how a case ended.
type Outcome string

// The outcomes.
const (
	// Pass: the answer is the asserted one.
	Pass Outcome = "pass"
	// Fail: it is another one.
	Fail Outcome = "fail"
	// Broken: the question cannot be answered, because the evaluation reached a
	// limit or a value does not fit its condition.
	Broken Outcome = "error"
)

// Report is what a run found.
type Report struct {
	Suites []Suite `json:"suites"`
	// Coverage is nil when it was not asked for.
	Coverage *Coverage `json:"coverage,omitempty"`
}

// Suite is one store file.
type Suite struct {
	Name  string `json:"name"`
	File  string `json:"file"`
	Cases []Case `json:"cases"`
}

// Case is one assertion.
type Case struct {
	Test string `json:"test"`
	// Name is what was asked, in one line.
	Name string `json:"name"`
	Place
	Outcome Outcome `json:"outcome"`
	// Want and Got are true, false or conditional, or lists of names in lines.
	// Got is empty when the case is Broken.
	Want string `json:"want"`
	Got  string `json:"got,omitempty"`
	// Detail says in lines what is different and why; empty when the case passed.
	Detail string `json:"detail,omitempty"`
	// Duration is that of the question, in nanoseconds.
	Duration time.Duration `json:"duration"`
}

// Count returns how many cases ended with an outcome.
func (r *Report) Count(o Outcome) int {
	n := 0
	for _, s := range r.Suites {
		n += s.Count(o)
	}
	return n
}

// Count returns how many cases ended with an outcome.
func (s *Suite) Count(o Outcome) int {
	n := 0
	for _, c := range s.Cases {
		if c.Outcome == o {
			n++
		}
	}
	return n
}

// Duration is that of all questions together.
func (s *Suite) Duration() time.Duration {
	var sum time.Duration
	for _, c := range s.Cases {
		sum += c.Duration
	}
	return sum
}

// Failed says whether any case did not pass.
func (r *Report) Failed() bool { return r.Count(Fail)+r.Count(Broken) > 0 }

// Text is the detail under the place and the name, for messages.
func (c *Case) Text() string {
	return fmt.Sprintf("%s: %s\n%s", c.Place, c.Name, indent(c.Detail, "    "))
}

func indent(text, by string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return by + strings.Join(lines, "\n"+by)
}

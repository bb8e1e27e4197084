package modeltest

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	File     string      `xml:"file,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitProblem `xml:"failure"`
	Error   *junitProblem `xml:"error"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

// WriteJUnit writes the report as JUnit's XML: a testsuite for each store file,
// a testcase for each assertion.
func (r *Report) WriteJUnit(w io.Writer) error {
	out := junitSuites{Failures: r.Count(Fail), Errors: r.Count(Broken)}
	var sum time.Duration
	for i := range r.Suites {
		s := &r.Suites[i]
		suite := junitSuite{
			Name: s.Name, File: s.File, Tests: len(s.Cases), Failures: s.Count(Fail), Errors: s.Count(Broken),
			Time: inSeconds(s.Duration()),
		}
		for j := range s.Cases {
			suite.Cases = append(suite.Cases, s.Cases[j].junit(s.Name))
		}
		out.Tests += suite.Tests
		sum += s.Duration()
		out.Suites = append(out.Suites, suite)
	}
	out.Time = inSeconds(sum)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (c *Case) junit(suite string) junitCase {
	out := junitCase{Name: c.Test + ": " + c.Name, Class: suite, File: c.File, Line: c.Line, Time: inSeconds(c.Duration)}
	switch c.Outcome {
	case Fail:
		out.Failure = &junitProblem{Message: c.Name + ": not the asserted answer", Text: c.Text()}
	case Broken:
		out.Error = &junitProblem{Message: c.Name + ": no answer", Text: c.Text()}
	case Pass:
	}
	return out
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }

package modeltest

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// maxProblems bounds what is reported of all files together.
const maxProblems = 100

// FileError lists what is wrong in the files. Nothing was run.
type FileError struct {
	Problems []authzcore.Problem
}

// Error is one line, file:line:column: message, for each problem.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = line(p)
	}
	return strings.Join(lines, "\n")
}

func line(p authzcore.Problem) string {
	if p.Line > 0 && p.Column == 0 {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return p.String()
}

// problems collects what is wrong.
type problems struct {
	list []authzcore.Problem
}

func (p *problems) add(x authzcore.Problem) {
	if len(p.list) < maxProblems {
		p.list = append(p.list, x)
	}
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &FileError{Problems: p.list}
}

// Place is where something stands.
type Place struct {
	File string `json:"file"`
	// Line is 1-based; 0 for the whole file.
	Line int `json:"line,omitempty"`
}

// String is file:line.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// document is one file being read.
type document struct {
	file  string
	found *problems
}

func (d *document) at(n *yaml.Node) Place { return Place{File: d.file, Line: n.Line} }

// refusef reports what is wrong with a node.
func (d *document) refusef(n *yaml.Node, format string, args ...any) {
	d.found.add(authzcore.Problem{File: d.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// refuseAtf reports what is wrong on a line; 0 for the whole file.
func (d *document) refuseAtf(line int, format string, args ...any) {
	d.found.add(authzcore.Problem{File: d.file, Line: line, Message: fmt.Sprintf(format, args...)})
}

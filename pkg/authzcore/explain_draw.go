package authzcore

import "strings"

// kindWords are the words for steps: the language's own where it has one.
var kindWords = [...]string{
	StepDirect: "direct", StepWildcard: "wildcard", StepUserset: "userset", StepComputed: "computed", StepFrom: "from",
	StepUnion: "or", StepIntersection: "and", StepExclusion: "but not", StepCycle: "asked already",
}

// String is the word for a kind of step; empty for none.
func (k StepKind) String() string {
	if int(k) >= len(kindWords) {
		return ""
	}
	return kindWords[k]
}

// marks stand before steps, by their answers.
var marks = [...]string{Deny: "✗", Allow: "✓", Conditional: "?"}

// Draw gives the lines of the step as a tree, until line returns false. What was
// drawn once is not drawn again: it is "as above".
func (s *Step) Draw(line func(text string) bool) {
	d := &drawing{line: line, drawn: map[string]bool{}, keys: map[*Step]string{}}
	d.step(s, "", "")
}

type drawing struct {
	line func(text string) bool
	// drawn are the keys of the steps above that have steps under them.
	drawn map[string]bool
	keys  map[*Step]string
}

func (d *drawing) step(s *Step, first, rest string) bool {
	key := d.key(s)
	again := len(s.Steps) > 0 && d.drawn[key]
	text := first + s.text()
	if again {
		text += "  as above"
	}
	if !d.line(text) {
		return false
	}
	if again {
		return true
	}
	d.drawn[key] = true
	for i, under := range s.Steps {
		branch, below := Branches(s.Kind, i, len(s.Steps))
		if !d.step(under, rest+branch, rest+below) {
			return false
		}
	}
	return true
}

// key is the same for steps that are drawn alike.
func (d *drawing) key(s *Step) string {
	if key, done := d.keys[s]; done {
		return key
	}
	var b strings.Builder
	b.WriteString(s.text())
	for _, under := range s.Steps {
		b.WriteString("(" + d.key(under) + ")")
	}
	d.keys[s] = b.String()
	return d.keys[s]
}

// text is a step in a line.
func (s *Step) text() string {
	text := marks[s.Answer] + " " + s.Question
	if word := s.Kind.String(); word != "" {
		text += "  (" + word + ")"
	}
	if s.Relationship != "" {
		text += "  " + s.Relationship
	}
	if s.Condition != "" {
		text += " with " + s.Condition
	}
	switch {
	case len(s.Missing) > 0:
		text += ", which lacks " + strings.Join(s.Missing, ", ")
	case s.Unmet() && s.Condition == "":
		text += ", expired"
	case s.Unmet():
		text += ", not met"
	}
	return text
}

// Branches are what stands before the line of the i-th of n parts of a kind, and
// before the lines under that. What an exclusion takes away is marked.
func Branches(kind StepKind, i, n int) (branch, below string) {
	branch, below = "├─ ", "│  "
	if i == n-1 {
		branch, below = "└─ ", "   "
	}
	if kind == StepExclusion && i == 1 {
		branch += StepExclusion.String() + " ─ "
	}
	return branch, below
}

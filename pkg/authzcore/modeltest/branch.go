package modeltest

import (
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// Role is what a branch does in its definition.
type Role string

// The roles.
const (
	// Assigns: a type restriction, which lets relationships be stored.
	Assigns Role = "assigns"
	// Grants: an operand of or, the base of but not, or a whole definition.
	Grants Role = "grants"
	// Requires: an operand of and.
	Requires Role = "requires"
	// Excludes: what comes after but not.
	Excludes Role = "excludes"
)

// Branch is a part of a definition that a test can depend on.
type Branch struct {
	Place
	Type     string `json:"type"`
	Relation string `json:"relation"`
	Role     Role   `json:"role"`
	// Text is the part as it is written, in one line.
	Text string `json:"text"`
	// Hits is how many assertions depend on the branch.
	Hits int `json:"hits"`
}

// String is type#relation, the role and the text.
func (b *Branch) String() string {
	return b.Type + "#" + b.Relation + "  " + string(b.Role) + " " + b.Text
}

// part is a branch with the means to take it away.
type part struct {
	Branch

	definition *definition
	// restriction of Assigns, and the operand of the others.
	restriction *restriction
	operand     *operand
}

// parts lists the branches of a definition in the order of the text.
func (d *definition) parts() []*part {
	var out []*part
	add := func(role Role, text string, line int) *part {
		p := &part{Branch: Branch{Place: Place{File: d.file, Line: line}, Type: d.typ, Relation: d.name, Role: role, Text: text}, definition: d}
		out = append(out, p)
		return p
	}
	var walk func(o *operand, role Role)
	walk = func(o *operand, role Role) {
		// What grants as a whole is covered by its parts.
		if role != Grants || o.op == opNone && o.restrictions == nil {
			add(role, o.render(nil, ""), o.line).operand = o
		}
		for i := range o.restrictions {
			x := &o.restrictions[i]
			add(Assigns, "["+x.text+"]", x.line).restriction = x
		}
		for i, c := range o.children {
			switch {
			case o.op == opAnd:
				walk(c, Requires)
			case o.op == opButNot && i > 0:
				walk(c, Excludes)
			default:
				walk(c, Grants)
			}
		}
	}
	walk(d.root, Grants)
	return out
}

// render writes an operand without one part: what requires or excludes is left
// out, and what grants is replaced by the relation never.
func (o *operand) render(without *operand, never string) string {
	if o == without {
		return never
	}
	if o.op == opNone {
		return o.text
	}
	var kept []string
	for i, c := range o.children {
		if c == without && (o.op == opAnd || o.op == opButNot && i > 0) {
			continue
		}
		text := c.render(without, never)
		if c.op != opNone && strings.Contains(text, " "+string(c.op)+" ") {
			text = "(" + text + ")"
		}
		kept = append(kept, text)
	}
	return strings.Join(kept, " "+string(o.op)+" ")
}

// files returns a model's sources without the part.
func (p *part) files(all []authzcore.File) []authzcore.File {
	const never = "meridian_model_test_never"
	d := p.definition
	out := slices.Clone(all)
	for i := range out {
		if out[i].Path != d.file {
			continue
		}
		text := out[i].Content
		out[i].Content = text[:d.begin] + "define " + never + ": [" + d.typ + "]\n    define " + d.name + ": " +
			d.root.render(p.operand, never) + text[d.end:]
	}
	return out
}

package modeltest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// definition is that of one relation, with its place in a source. It is read
// from the text because a compiled model has no places; the model compiled, so
// that what cannot be read here is left out.
type definition struct {
	file, typ, name string
	// begin and end are the bytes from the word define to the last word.
	begin, end int
	line       int
	root       *operand
}

// operator joins operands. The texts are those of the language.
type operator string

const (
	opNone   operator = ""
	opOr     operator = "or"
	opAnd    operator = "and"
	opButNot operator = "but not"
)

// operand is a part of a definition: a leaf, or a group of others.
type operand struct {
	op       operator
	children []*operand
	// text is the leaf as it is written. A leaf with restrictions is a list in
	// brackets, any other leads to another relation.
	text         string
	restrictions []restriction
	line         int
}

// restriction is one kind of subject in brackets.
type restriction struct {
	text, typ, relation, condition string
	wildcard                       bool
	line                           int
}

// lets says whether a relationship is stored under the restriction.
func (x *restriction) lets(r authzcore.Relationship) bool {
	s, err := authzcore.ParseSubject(r.Subject)
	return err == nil && s.Type == x.typ && s.Relation == x.relation && (s.ID == "*") == x.wildcard && r.Terms.Condition == x.condition
}

// token is a word or a sign of a source.
type token struct {
	text       string
	begin, end int
	line       int
}

var tokenPattern = regexp.MustCompile(`[\w\-./]+|[\[\](),:#*]`)

// definitions reads the definitions of a file, in order.
func definitions(f authzcore.File) []*definition {
	var out []*definition
	typ := ""
	begin, offset := -1, 0
	lines := strings.SplitAfter(blank(f.Content), "\n")
	var tokens []token
	flush := func() {
		if begin >= 0 {
			if d := define(f.Path, typ, tokens); d != nil {
				out = append(out, d)
			}
		}
		begin, tokens = -1, nil
	}
	for i, line := range lines {
		words := strings.Fields(line)
		if len(words) > 0 {
			switch words[0] {
			case "type", "extend":
				flush()
				typ = words[len(words)-1]
			case "define":
				flush()
				begin = offset
			case "relations", "model", "module":
				flush()
			case "condition":
				flush()
				return out // conditions come last
			}
		}
		if begin >= 0 {
			for _, m := range tokenPattern.FindAllStringIndex(line, -1) {
				tokens = append(tokens, token{line[m[0]:m[1]], offset + m[0], offset + m[1], i + 1})
			}
		}
		offset += len(line)
	}
	flush()
	return out
}

// blank replaces comments by spaces, so that all offsets stay.
func blank(content string) string {
	var b strings.Builder
	for line := range strings.Lines(content) {
		at := strings.Index(line, " #")
		if trimmed := strings.TrimLeft(line, " \t"); strings.HasPrefix(trimmed, "#") {
			at = len(line) - len(trimmed)
		}
		if at < 0 {
			b.WriteString(line)
			continue
		}
		text := strings.TrimRight(line, "\r\n")
		b.WriteString(line[:at] + strings.Repeat(" ", len(text)-at) + line[len(text):])
	}
	return b.String()
}

// define reads "define name: …"; nil when it cannot.
func define(file, typ string, tokens []token) *definition {
	const head = 3
	if len(tokens) <= head || tokens[0].text != "define" || tokens[2].text != ":" {
		return nil
	}
	p := &parser{tokens: tokens[head:]}
	root := p.group(0)
	if root == nil || len(p.tokens) > 0 {
		return nil
	}
	return &definition{
		file: file, typ: typ, name: tokens[1].text, root: root,
		begin: tokens[0].begin, end: tokens[len(tokens)-1].end, line: tokens[0].line,
	}
}

// parser reads the tokens of one definition from the left.
type parser struct {
	tokens []token
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0].text
}

// accept takes the next tokens if they are these.
func (p *parser) accept(texts ...string) bool {
	if len(p.tokens) < len(texts) {
		return false
	}
	for i, text := range texts {
		if p.tokens[i].text != text {
			return false
		}
	}
	p.tokens = p.tokens[len(texts):]
	return true
}

// group reads operands with one operator between them.
func (p *parser) group(depth int) *operand {
	first := p.operand(depth)
	if first == nil {
		return nil
	}
	out := &operand{children: []*operand{first}, line: first.line}
	for {
		var op operator
		switch {
		case p.accept("or"):
			op = opOr
		case p.accept("and"):
			op = opAnd
		case p.accept("but", "not"):
			op = opButNot
		case out.op == opNone:
			return first
		default:
			return out
		}
		next := p.operand(depth)
		if next == nil || out.op != opNone && out.op != op || out.op == opButNot {
			return nil
		}
		out.op, out.children = op, append(out.children, next)
	}
}

func (p *parser) operand(depth int) *operand {
	switch {
	case len(p.tokens) == 0 || depth > maxDepth:
		return nil
	case p.accept("("):
		out := p.group(depth + 1)
		if out == nil || !p.accept(")") {
			return nil
		}
		return out
	case p.peek() == "[":
		return p.brackets()
	}
	word := p.tokens[0]
	p.tokens = p.tokens[1:]
	out := &operand{text: word.text, line: word.line}
	if p.accept("from") && len(p.tokens) > 0 {
		out.text += " from " + p.tokens[0].text
		p.tokens = p.tokens[1:]
	}
	return out
}

// brackets reads a list of restrictions.
func (p *parser) brackets() *operand {
	end := slices.IndexFunc(p.tokens, func(t token) bool { return t.text == "]" })
	if end < 0 {
		return nil
	}
	out := &operand{line: p.tokens[0].line}
	inner := p.tokens[1:end]
	p.tokens = p.tokens[end+1:]
	var texts []string
	for len(inner) > 0 {
		next := slices.IndexFunc(inner, func(t token) bool { return t.text == "," })
		one := inner
		if inner = nil; next >= 0 {
			one, inner = one[:next], one[next+1:]
		}
		x := newRestriction(one)
		if x == nil {
			return nil
		}
		out.restrictions = append(out.restrictions, *x)
		texts = append(texts, x.text)
	}
	out.text = "[" + strings.Join(texts, ", ") + "]"
	return out
}

// newRestriction reads type, type:* or type#relation, and with condition.
func newRestriction(tokens []token) *restriction {
	if len(tokens) == 0 {
		return nil
	}
	p := &parser{tokens: tokens[1:]}
	x := &restriction{typ: tokens[0].text, text: tokens[0].text, line: tokens[0].line}
	switch {
	case p.accept(":", "*"):
		x.wildcard, x.text = true, x.text+":*"
	case p.accept("#") && len(p.tokens) > 0:
		x.relation = p.tokens[0].text
		x.text += "#" + x.relation
		p.tokens = p.tokens[1:]
	}
	if p.accept("with") && len(p.tokens) > 0 {
		x.condition = p.tokens[0].text
		x.text += " with " + x.condition
		p.tokens = p.tokens[1:]
	}
	if len(p.tokens) > 0 {
		return nil
	}
	return x
}

package authzcore

import "strings"

// source is one file with the places where things are defined, for messages:
// the parser's own result has no places.
type source struct {
	path   string
	lines  []string
	module string
	header place
	// definitions in the order of the file.
	definitions []definition
	// defines and onLine find the first definition of a relation, by type and
	// name, and of a line, in definitions.
	defines map[[2]string]int
	onLine  map[int]int
}

// definition is a line that defines something, up to the line before end.
type definition struct {
	keyword string // type, extend, define, condition
	typ     string
	name    string
	line    int // 0-based
	end     int
	column  int // of the name, 0-based
}

// indexSource finds the definitions of a file.
func indexSource(f File) *source {
	s := &source{path: f.Path, lines: strings.Split(f.Content, "\n"), defines: map[[2]string]int{}, onLine: map[int]int{}}
	typ := ""
	for i, line := range s.lines {
		line = uncomment(line)
		s.lines[i] = line
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		keyword, rest := words[0], words[1:]
		if keyword == "extend" && len(rest) > 0 {
			rest = rest[1:]
		}
		switch keyword {
		case "module":
			if len(rest) > 0 {
				s.module = rest[0]
			}
			fallthrough
		case "model":
			if s.header.line == 0 {
				s.header = s.at(i, strings.Index(line, keyword))
			}
		case "type", "extend", "define", "condition":
			if len(rest) == 0 {
				continue
			}
			name, _, _ := strings.Cut(rest[0], ":")
			name, _, _ = strings.Cut(name, "(")
			if keyword == "type" || keyword == "extend" {
				typ = name
			}
			s.add(definition{keyword: keyword, typ: typ, name: name, line: i, column: nameColumn(line, keyword, name)})
		}
	}
	return s
}

func (s *source) add(d definition) {
	d.end = len(s.lines)
	if n := len(s.definitions); n > 0 {
		s.definitions[n-1].end = d.line
	}
	if key := [2]string{d.typ, d.name}; d.keyword == "define" {
		if _, found := s.defines[key]; !found {
			s.defines[key] = len(s.definitions)
		}
	}
	s.onLine[d.line] = len(s.definitions)
	s.definitions = append(s.definitions, d)
}

// uncomment cuts comments off as the language does. It also blanks lines whose
// comment follows a tab, which mean the same but are slow to parse.
func uncomment(line string) string {
	if strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") {
		return ""
	}
	line, _, _ = strings.Cut(line, " #")
	return line
}

// text is the source for the parser, without blank lines, whose number it is
// slow in, and the number of each line that is left. Lines are 0-based.
func (s *source) text() (string, []int) {
	var b strings.Builder
	kept := make([]int, 0, len(s.lines))
	for i, line := range s.lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(kept) > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line)
		kept = append(kept, i)
	}
	return b.String(), kept
}

func nameColumn(line, keyword, name string) int {
	after := strings.Index(line, keyword) + len(keyword)
	if keyword == "extend" {
		after += strings.Index(line[after:], "type") + len("type")
	}
	return after + max(strings.Index(line[after:], name), 0)
}

func (s *source) at(line, column int) place {
	return place{file: s.path, line: line + 1, column: column + 1}
}

// typeAt returns where a type is defined or extended, the nth time (from 0).
func (s *source) typeAt(name string, nth int) (place, bool) {
	return s.find(func(d definition) bool { return d.keyword == "type" && d.name == name }, nth)
}

func (s *source) extensionAt(name string) (place, bool) {
	return s.find(func(d definition) bool { return d.keyword == "extend" && d.name == name }, 0)
}

func (s *source) relationAt(typ, name string) place {
	n, found := s.defines[[2]string{typ, name}]
	if !found {
		return place{file: s.path}
	}
	d := s.definitions[n]
	return s.at(d.line, d.column)
}

func (s *source) find(match func(definition) bool, nth int) (place, bool) {
	for _, d := range s.definitions {
		if !match(d) {
			continue
		}
		if nth == 0 {
			return s.at(d.line, d.column), true
		}
		nth--
	}
	return place{file: s.path}, false
}

// wordAt returns where a word stands in the definition at a place, or the place
// itself.
func (s *source) wordAt(from place, word string) place {
	n, found := s.onLine[from.line-1]
	if !found {
		return from
	}
	d := s.definitions[n]
	for i := d.line; i < d.end; i++ {
		start := 0
		if i == d.line {
			start = strings.Index(s.lines[i], ":") + 1
		}
		if c := findWord(s.lines[i], word, start); c >= 0 {
			return s.at(i, c)
		}
	}
	return from
}

// findWord finds a whole word in a line from a column on, or returns -1.
func findWord(line, word string, start int) int {
	for start <= len(line) {
		c := strings.Index(line[start:], word)
		if c < 0 {
			return -1
		}
		c += start
		end := c + len(word)
		if (c == 0 || !isWord(line[c-1])) && (end == len(line) || !isWord(line[end])) {
			return c
		}
		start = c + 1
	}
	return -1
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == '/'
}

// maxNesting bounds the depths of all parentheses of a file together: the
// parser's time grows with it. A definition with three groups of depth 2 has 9.
const maxNesting = 20_000

// nesting returns the place where parentheses nest deeper than limit, or too
// deep in too many places.
func (s *source) nesting(limit int) (place, bool) {
	depth, total := 0, 0
	for i, line := range s.lines {
		if words := strings.Fields(line); len(words) > 0 && words[0] == "define" {
			depth = 0
		}
		for c := range len(line) {
			switch line[c] {
			case '(':
				depth++
				total += depth
			case ')':
				depth = max(depth-1, 0)
			}
			if depth > limit || total > maxNesting {
				return s.at(i, c), true
			}
		}
	}
	return place{}, false
}

// oddBreak returns the place of a line break that is none in messages: the
// language takes a lone carriage return and a form feed for one.
func (s *source) oddBreak() (place, bool) {
	for i, line := range s.lines {
		if c := strings.IndexAny(strings.TrimSuffix(line, "\r"), "\r\f"); c >= 0 {
			return s.at(i, c), true
		}
	}
	return place{}, false
}

package modeltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document.
const (
	maxFileBytes = 4 << 20
	maxDepth     = 64
	maxNodes     = 1_000_000
)

// yamlSays finds the line in the parser's messages.
var yamlSays = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// parseYAML parses one document. It returns nil after having reported problems,
// and for an empty file.
func (d *document) parseYAML(content []byte) (root *yaml.Node) {
	defer func() {
		if recover() != nil { // a broken file must not end the process
			d.refuseAtf(1, "the file cannot be parsed")
			root = nil
		}
	}()
	var node yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	switch err := decoder.Decode(&node); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.refuseYAML(err)
		return nil
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		d.refusef(&second, "the file must be one document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.refuseYAML(err)
		return nil
	}
	if len(node.Content) != 1 {
		return nil
	}
	return d.bounded(node.Content[0])
}

func (d *document) refuseYAML(err error) {
	line, text := 1, err.Error()
	if m := yamlSays.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	d.refuseAtf(line, "not valid YAML: %s", text)
}

// bounded returns the node, or nil when it has too many values or nests too
// deep, aliases followed.
func (d *document) bounded(root *yaml.Node) *yaml.Node {
	left := maxNodes
	var walk func(n *yaml.Node, depth int) bool
	walk = func(n *yaml.Node, depth int) bool {
		left--
		switch {
		case depth > maxDepth:
			d.refusef(n, "values nest deeper than %d", maxDepth)
			return false
		case left < 0:
			d.refusef(n, "the file has more than %d values, with aliases counted as often as they are used", maxNodes)
			return false
		case n.Kind == yaml.AliasNode:
			return walk(n.Alias, depth+1)
		}
		return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !walk(c, depth+1) })
	}
	if !walk(root, 0) {
		return nil
	}
	return root
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	n = resolve(n)
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// pair is one key of a mapping and its value.
type pair struct {
	key, value *yaml.Node
}

// pairs returns the keys and values of a mapping, in order. Keys that are no
// text or repeated are reported and left out.
func (d *document) pairs(n *yaml.Node, what string) []pair {
	m := resolve(n)
	if m.Kind != yaml.MappingNode {
		d.refusef(n, "%s must be a mapping, not %s", what, kindOf(m))
		return nil
	}
	var out []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key := resolve(m.Content[i])
		switch {
		case key.Tag == "!!merge":
			d.refusef(key, "merging with << is not supported: name the keys, or use an alias for a whole value")
		case key.Kind != yaml.ScalarNode:
			d.refusef(key, "a key must be a text")
		case seen[key.Value] != 0:
			d.refusef(key, "key %s stands twice: it is on line %d too", quote(key.Value), seen[key.Value])
		default:
			seen[key.Value] = key.Line
			out = append(out, pair{key, m.Content[i+1]})
		}
	}
	return out
}

// mapping returns the values of a mapping by key; a value that is null is left
// out. Other keys than the known ones are reported.
func (d *document) mapping(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for _, p := range d.pairs(n, what) {
		switch {
		case p.key.Value == "excluded_users":
			d.refusef(p.key, "excluded_users is not in the format any more: leave it out")
		case !slices.Contains(known, p.key.Value):
			d.refusef(p.key, "%s has no key %s; there are %s", what, quote(p.key.Value), strings.Join(known, ", "))
		case !isNull(p.value):
			out[p.key.Value] = p.value
		}
	}
	return out
}

// items returns the items of a list.
func (d *document) items(n *yaml.Node, what string) []*yaml.Node {
	if n == nil {
		return nil
	}
	list := resolve(n)
	if list.Kind != yaml.SequenceNode {
		d.refusef(n, "%s must be a list, not %s", what, kindOf(list))
		return nil
	}
	return list.Content
}

// text returns a text that is not empty.
func (d *document) text(n *yaml.Node, what string) (string, bool) {
	s := resolve(n)
	switch {
	case s.Kind != yaml.ScalarNode || s.Tag == "!!null":
		d.refusef(n, "%s must be a text, not %s", what, kindOf(s))
		return "", false
	case s.Value == "":
		d.refusef(n, "%s must not be empty", what)
		return "", false
	}
	return s.Value, true
}

// needed returns the text of a key that must be there.
func (d *document) needed(n *yaml.Node, values map[string]*yaml.Node, what, key string) (string, bool) {
	value := values[key]
	if value == nil {
		d.refusef(n, "%s needs %s", what, key)
		return "", false
	}
	return d.text(value, key)
}

// optional returns the text of a key that may be absent.
func (d *document) optional(values map[string]*yaml.Node, key string) string {
	if values[key] == nil {
		return ""
	}
	text, _ := d.text(values[key], key)
	return text
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	default:
		return quote(n.Value)
	}
}

// quote shows a text of a file, cut when it is long.
func quote(text string) string { return fmt.Sprintf("%q", cut(text)) }

func cut(text string) string {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

package modeltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// parseJSON parses one JSON value into the nodes that YAML has, so that both
// are read in one way. It returns nil after having reported problems. first is
// the line that the content begins on.
func (d *document) parseJSON(content []byte, first int) *yaml.Node {
	j := &jsonReader{content: content, line: first, decoder: json.NewDecoder(bytes.NewReader(content))}
	j.decoder.UseNumber()
	root, err := j.value(0)
	if err == nil {
		if _, err = j.decoder.Token(); errors.Is(err, io.EOF) {
			return d.bounded(root)
		}
		err = errors.New("the file must be one value")
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the file ends early")
	}
	d.refuseAtf(j.here(), "not valid JSON: %v", err)
	return nil
}

type jsonReader struct {
	content []byte
	decoder *json.Decoder
	// line is where the first seen bytes end.
	line int
	seen int64
}

// here returns the line that the decoder is on.
func (j *jsonReader) here() int {
	at := min(j.decoder.InputOffset(), int64(len(j.content)))
	j.line += bytes.Count(j.content[j.seen:at], []byte("\n"))
	j.seen = at
	return j.line
}

func (j *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("values nest deeper than %d", maxDepth)
	}
	token, err := j.decoder.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: j.here()}
	switch x := token.(type) {
	case nil:
		n.Tag = "!!null"
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(x)
	case string:
		n.Tag, n.Value = "!!str", x
	case json.Number:
		n.Tag, n.Value = "!!float", x.String()
	case json.Delim:
		n.Kind = yaml.MappingNode
		if x == '[' {
			n.Kind = yaml.SequenceNode
		}
		for j.decoder.More() {
			item, err := j.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err = j.decoder.Token()
	}
	return n, err
}

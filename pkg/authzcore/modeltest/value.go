package modeltest

import (
	"math"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// context returns the parameters of conditions under a node, as encoding/json
// decodes them; nil for none.
func (d *document) context(n *yaml.Node) map[string]any {
	if n == nil {
		return nil
	}
	out := map[string]any{}
	for _, p := range d.pairs(n, "context") {
		value, ok := d.value(p.value)
		if !ok {
			return nil
		}
		out[p.key.Value] = value
	}
	if _, err := authzcore.EncodeContext(out); err != nil {
		d.refusef(n, "%v", err)
		return nil
	}
	return out
}

// value returns what a node stands for in JSON.
func (d *document) value(n *yaml.Node) (any, bool) {
	n = resolve(n)
	switch n.Kind {
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			value, ok := d.value(item)
			if !ok {
				return nil, false
			}
			out = append(out, value)
		}
		return out, true
	case yaml.MappingNode:
		out := map[string]any{}
		for _, p := range d.pairs(n, "a value") {
			value, ok := d.value(p.value)
			if !ok {
				return nil, false
			}
			out[p.key.Value] = value
		}
		return out, true
	default:
		return d.scalar(n)
	}
}

func (d *document) scalar(n *yaml.Node) (any, bool) {
	switch n.Tag {
	case "!!null":
		return nil, true
	case "!!bool":
		var out bool
		if n.Decode(&out) == nil {
			return out, true
		}
	case "!!str":
		return n.Value, true
	case "!!timestamp":
		var out time.Time
		if n.Decode(&out) == nil {
			return out.Format(time.RFC3339Nano), true
		}
	case "!!int", "!!float":
		return d.number(n)
	}
	d.refusef(n, "%s is no value of JSON", quote(n.Value))
	return nil, false
}

// number returns a number that JSON has and a float64 can hold.
func (d *document) number(n *yaml.Node) (any, bool) {
	var out float64
	if err := n.Decode(&out); err != nil || math.IsNaN(out) || math.IsInf(out, 0) {
		d.refusef(n, "%s is no number of JSON", quote(n.Value))
		return nil, false
	}
	if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil && int64(out) != i {
		d.refusef(n, "%s has more digits than a number of JSON holds: write it as a text", quote(n.Value))
		return nil, false
	}
	return out, true
}

// instant returns a time in RFC 3339; the zero time for none.
func (d *document) instant(n *yaml.Node, key string) time.Time {
	if n == nil {
		return time.Time{}
	}
	out, err := time.Parse(time.RFC3339Nano, resolve(n).Value)
	if err != nil {
		d.refusef(n, "%s must be a time as 2026-01-31T12:00:00Z, not %s", key, kindOf(resolve(n)))
	}
	return out
}

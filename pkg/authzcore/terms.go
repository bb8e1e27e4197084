package authzcore

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Terms say under what circumstances a relationship holds. The zero Terms:
// always.
type Terms struct {
	// Condition is the name of a condition of the model; empty for none.
	Condition string
	// Context has the values of the condition's parameters that are settled, as
	// EncodeContext writes them; empty for none. They win over a question's.
	Context string
	// Expires is the Unix time in seconds from which on the relationship holds
	// no more; 0 for never.
	Expires int64
}

// Circumstances are what a question is asked under.
type Circumstances struct {
	// Context has values of the parameters of conditions, as encoding/json
	// decodes them: nil, bool, float64, string, []any and map[string]any. Names
	// that no condition has are ignored.
	Context map[string]any
	// At is when the question is asked, for relationships that expire. The zero
	// time is now.
	At time.Time
}

// Bounds of the values of parameters.
const (
	// MaxStoredContextBytes bounds the encoded context of a relationship.
	MaxStoredContextBytes = 32 << 10
	// maxContextDepth bounds how deep values nest.
	maxContextDepth = 16
)

// EncodeContext writes parameters in one canonical form: JSON, names sorted,
// empty for no parameter.
//
// Errors: *InputError with field context: number (NaN or infinite), utf8,
// depth (deeper than 16), length (more than 32 KiB), value (not a JSON value).
func EncodeContext(context map[string]any) (string, error) {
	if len(context) == 0 {
		return "", nil
	}
	if err := checkValue(context, 0); err != nil {
		return "", err
	}
	text, err := json.Marshal(context)
	if err != nil {
		return "", &InputError{Field: "context", Rule: "value", Detail: "cannot be encoded"}
	}
	if len(text) > MaxStoredContextBytes {
		return "", &InputError{Field: "context", Rule: "length", Detail: "the context of a relationship must be at most 32 KiB"}
	}
	return string(text), nil
}

// DecodeContext reads what EncodeContext wrote.
//
// Errors: *InputError with field context.
func DecodeContext(text string) (map[string]any, error) {
	if text == "" {
		return map[string]any{}, nil
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, &InputError{Field: "context", Rule: "value", Detail: "is not a JSON object"}
	}
	return out, nil
}

// checkValue says whether a value is one of JSON's.
func checkValue(value any, depth int) error {
	refuse := func(rule, detail string) error { return &InputError{Field: "context", Rule: rule, Detail: detail} }
	if depth > maxContextDepth {
		return refuse("depth", fmt.Sprintf("values must not nest deeper than %d", maxContextDepth))
	}
	switch x := value.(type) {
	case nil, bool:
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return refuse("number", "a number must be finite")
		}
	case string:
		if !utf8.ValidString(x) {
			return refuse("utf8", "a text must be valid UTF-8")
		}
	case []any:
		for _, item := range x {
			if err := checkValue(item, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, item := range x {
			if !utf8.ValidString(name) {
				return refuse("utf8", "a name must be valid UTF-8")
			}
			if err := checkValue(item, depth+1); err != nil {
				return err
			}
		}
	default:
		return refuse("value", fmt.Sprintf("a value of type %T is none of JSON's", value))
	}
	return nil
}

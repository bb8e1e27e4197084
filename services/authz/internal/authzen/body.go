package authzen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Bounds of a request.
const (
	maxBody  = 256 << 10
	maxDepth = 32
)

// object is a JSON object. Names are compared as they are written, and members
// that nobody asks for are ignored.
type object map[string]any

// readBody reads the JSON object that a request is.
//
// Errors: INVALID_FIELD (body, Content-Type), BATCH_TOO_LARGE.
func readBody(w http.ResponseWriter, r *http.Request) (object, error) {
	if kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" ||
		parameters["charset"] != "" && parameters["charset"] != "utf-8" && parameters["charset"] != "UTF-8" {
		return nil, fault.Field("Content-Type", "media_type", "must be application/json")
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.Exhausted, commonv1.Reason_BATCH_TOO_LARGE, "the request is larger than 256 KiB").
			With("field", "body").With("limit", strconv.Itoa(maxBody))
	case err != nil:
		return nil, fault.Field("body", "read", "was not received").Because(err)
	}
	return parse(content)
}

// parse reads a JSON object: UTF-8, not nested deeper than 32, no name twice in
// one object, nothing after it.
func parse(content []byte) (object, error) {
	if !utf8.Valid(content) || loneSurrogate(content) {
		return nil, fault.Field("body", "utf8", "must be UTF-8, without half of a surrogate pair")
	}
	d := json.NewDecoder(bytes.NewReader(content))
	value, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, notJSON()
	}
	out, ok := value.(map[string]any)
	if !ok {
		return nil, fault.Field("body", "object", "must be a JSON object")
	}
	return out, nil
}

// jsonEscape matches a JSON escape: of a code unit, or of anything else.
var jsonEscape = regexp.MustCompile(`\\(?:u([0-9A-Fa-f]{4})|.)`)

// loneSurrogate says whether an escape names half of a surrogate pair, for which
// the decoder would take the replacement character: then different ids were one.
func loneSurrogate(content []byte) bool {
	high := -1 // where the other half of a pair must begin
	for _, m := range jsonEscape.FindAllSubmatchIndex(content, -1) {
		unit := uint64(0)
		if m[2] >= 0 {
			unit, _ = strconv.ParseUint(string(content[m[2]:m[3]]), 16, 16)
		}
		low := unit >= 0xdc00 && unit <= 0xdfff
		if high >= 0 && (m[0] != high || !low) || high < 0 && low {
			return true
		}
		high = -1
		if unit >= 0xd800 && unit <= 0xdbff {
			high = m[1]
		}
	}
	return high >= 0
}

func notJSON() error { return fault.Field("body", "json", "is not JSON") }

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, notJSON()
	}
	opened, ok := token.(json.Delim)
	if !ok {
		return token, nil // a string, number, boolean or null
	}
	if depth >= maxDepth {
		return nil, fault.Field("body", "depth", fmt.Sprintf("must not nest deeper than %d", maxDepth))
	}
	if opened == '[' {
		return parseArray(d, depth)
	}
	return parseObject(d, depth)
}

func parseArray(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		value, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, closed(d)
}

func parseObject(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, notJSON()
		}
		name, ok := token.(string)
		if !ok {
			return nil, notJSON()
		}
		if _, twice := out[name]; twice {
			return nil, fault.Field("body", "unique", fmt.Sprintf("has the name %q twice in one object", name))
		}
		if out[name], err = parseValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	return out, closed(d)
}

// closed reads the bracket that ends an array or object.
func closed(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return notJSON()
	}
	return nil
}

// object returns a member that is an object; nil when it is absent or null.
//
// Errors: INVALID_FIELD named after the path.
func (o object) object(path, name string) (object, error) {
	switch value := o[name].(type) {
	case nil:
		return nil, nil //nolint:nilnil // absent is no error
	case map[string]any:
		return value, nil
	default:
		return nil, fault.Field(path+name, "object", "must be an object")
	}
}

// text returns a member that must be a string, and not empty.
//
// Errors: INVALID_FIELD named after the path.
func (o object) text(path, name string) (string, error) {
	switch value := o[name].(type) {
	case nil:
		return "", fault.Field(path+name, "required", "is required")
	case string:
		if value == "" {
			return "", fault.Field(path+name, "required", "must not be empty")
		}
		return value, nil
	default:
		return "", fault.Field(path+name, "string", "must be a string")
	}
}

package legacy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readAnswer reads {"ok": true} or {"ok": false}. Nothing else is taken for one of
// them: no other member, case or type, no member twice, nothing after it.
func readAnswer(b []byte) (Verdict, error) {
	if len(b) > maxAnswer {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	var ok bool
	for i, want := range []func(json.Token) bool{
		func(t json.Token) bool { return t == json.Delim('{') },
		func(t json.Token) bool { return t == "ok" },
		func(t json.Token) (is bool) { ok, is = t.(bool); return is },
		func(t json.Token) bool { return t == json.Delim('}') },
	} {
		token, err := d.Token()
		if err != nil || !want(token) {
			return 0, fmt.Errorf("the answer is not an object with ok alone: token %d", i+1)
		}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return 0, errors.New("the answer goes on after the object")
	}
	if ok {
		return Accepted, nil
	}
	return Rejected, nil
}

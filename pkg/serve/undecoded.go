package serve

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// mark is the field number of the mark: the highest there is. No message of
// Meridian has it. Who sends it gets the refusal that the mark stands for.
const mark = protowire.MaxValidNumber

func markUndecoded(message proto.Message, content string) {
	proto.Reset(message)
	unknown := protowire.AppendTag(nil, mark, protowire.BytesType)
	message.ProtoReflect().SetUnknown(protowire.AppendString(unknown, content))
}

// undecoded returns the refusal of a marked message, or nil.
func undecoded(message any) *fault.Fault {
	m, ok := message.(proto.Message)
	if !ok {
		return nil
	}
	unknown := m.ProtoReflect().GetUnknown()
	if len(unknown) == 0 {
		return nil
	}
	number, kind, n := protowire.ConsumeTag(unknown)
	if n < 0 || number != mark || kind != protowire.BytesType {
		return nil
	}
	content, _ := protowire.ConsumeBytes(unknown[n:])
	return refusalOf(string(content))
}

// marked is the content of a mark of JSON: where decoding stopped, and the name
// of an unknown field. Who wrote the request may have written the mark too, so it
// is read as strictly as the request.
var marked = regexp.MustCompile(`^json(?: (\d{1,10}):(\d{1,10})(?: (` + fieldName + `))?)?$`)

// fieldName is what an unknown field may look like in an answer. Anything else
// may be a value, or worse.
const fieldName = `[A-Za-z_][A-Za-z0-9_]{0,47}`

func refusalOf(content string) *fault.Fault {
	parts := marked.FindStringSubmatch(content)
	if parts == nil {
		return fault.Field("body", "protobuf", "not a message of this procedure")
	}
	text := "not a message of this procedure"
	if parts[3] != "" {
		text = fmt.Sprintf("the message has no field %q", parts[3])
	}
	if parts[1] != "" {
		text += fmt.Sprintf(" (line %s, column %s)", parts[1], parts[2])
	}
	return fault.Field("body", "json", text)
}

// The beginnings of protojson's errors. It varies the space on purpose. What
// follows may quote the request.
var (
	stopped  = regexp.MustCompile(`^proto:[ \x{a0}](?:syntax error )?\(line (\d+):(\d+)\): `)
	misspelt = regexp.MustCompile(`^unknown field "(` + fieldName + `)"$`)
)

// markOf is the content of the mark for an error of protojson, about a body.
func markOf(err error, body []byte) string {
	text := err.Error()
	at := stopped.FindStringSubmatch(text)
	if at == nil {
		if strings.HasSuffix(text, "unexpected EOF") {
			return "json " + end(body)
		}
		return "json"
	}
	content := "json " + at[1] + ":" + at[2]
	if field := misspelt.FindStringSubmatch(text[len(at[0]):]); field != nil {
		content += " " + field[1]
	}
	return content
}

// end is the place behind the last byte of a body, counted as protojson does.
func end(body []byte) string {
	text := string(body)
	lines := strings.Count(text, "\n")
	return fmt.Sprintf("%d:%d", lines+1, len([]rune(text[strings.LastIndexByte(text, '\n')+1:]))+1)
}

package isolation_test

import (
	"regexp"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meridian-iam/meridian/pkg/id"
)

var ofAnID = regexp.MustCompile(`^(usr|grp|svc|inv|dom|tok|cli|tru)_[0-9a-hjkmnp-tv-z]{26}$`)

// named are the fields of a request, other than its organization, that hold an id
// of something in an organization.
func named(request proto.Message) []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.StringKind || field.Name() == "organization":
		case field.IsList() && value.List().Len() > 0 && ofAnID.MatchString(value.List().Get(0).String()),
			!field.IsList() && ofAnID.MatchString(value.String()):
			out = append(out, field)
		}
		return true
	})
	return out
}

func idOf(request proto.Message, field protoreflect.FieldDescriptor) string {
	value := request.ProtoReflect().Get(field)
	if field.IsList() {
		return value.List().Get(0).String()
	}
	return value.String()
}

// with returns the request with another id in a field.
func with(request proto.Message, field protoreflect.FieldDescriptor, name string) proto.Message {
	m := proto.Clone(request).ProtoReflect()
	if field.IsList() {
		m.Mutable(field).List().Set(0, protoreflect.ValueOfString(name))
	} else {
		m.Set(field, protoreflect.ValueOfString(name))
	}
	return m.Interface()
}

// foreignIDs: in its own organization, a caller who names something of another one
// is answered as if there were no such thing.
func (w *world) foreignIDs(t *testing.T, m protoreflect.MethodDescriptor, request func(p place) proto.Message) {
	t.Helper()
	theirs := request(w.foreign)
	for _, field := range named(theirs) {
		existing := idOf(theirs, field)
		for level, token := range w.tokens {
			if level < access(m).GetLevel() {
				continue
			}
			try := func(name string) string {
				return outcome(call(t.Context(), t, w.URL, token, m, with(request(w.home), field, name)))
			}
			foreign, missing := try(existing), try(id.New(id.Kind(existing[:3])))
			if foreign != missing {
				t.Errorf("%s, field %s: another organization's answers %q, an absent one %q", level, field.Name(), foreign, missing)
			}
			if len(foreign) < 9 || foreign[:9] != "not_found" {
				t.Errorf("%s, field %s: another organization's answers %q, want not_found", level, field.Name(), foreign)
			}
		}
	}
}

// Package proto_test checks the contract itself.
package proto_test

import (
	"strings"
	"testing"

	validate "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	_ "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// eachMethod calls fn for every procedure of Meridian.
func eachMethod(fn func(protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "meridian.") {
			return true
		}
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				fn(file.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
}

func TestEveryProcedureSaysWhoMayCall(t *testing.T) {
	methods := 0
	eachMethod(func(m protoreflect.MethodDescriptor) {
		methods++
		access, _ := proto.GetExtension(m.Options(), commonv1.E_Access).(*commonv1.Access)
		if access.GetScope() == commonv1.Scope_SCOPE_UNSPECIFIED || access.GetLevel() == commonv1.Level_LEVEL_UNSPECIFIED {
			t.Errorf("%s has no option access", m.FullName())
		}
		if access.GetScope() == commonv1.Scope_SCOPE_ORGANIZATION && m.Input().Fields().ByName("organization") == nil {
			t.Errorf("%s is scoped to an organization and has no field organization", m.FullName())
		}
	})
	if methods < 15 {
		t.Errorf("found %d procedures", methods)
	}
}

// Every change can be repeated safely; a streamed import is one by nature, and what
// has no side effects changes nothing, whoever may call it.
func TestEveryChangeCarriesAKey(t *testing.T) {
	eachMethod(func(m protoreflect.MethodDescriptor) {
		access, _ := proto.GetExtension(m.Options(), commonv1.E_Access).(*commonv1.Access)
		if access.GetLevel() < commonv1.Level_LEVEL_WRITE || m.IsStreamingClient() || strings.HasPrefix(string(m.Name()), "List") {
			return
		}
		if options, _ := m.Options().(*descriptorpb.MethodOptions); options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
			return
		}
		if m.Input().Fields().ByName("idempotency_key") == nil {
			t.Errorf("%s changes something and has no idempotency_key", m.FullName())
		}
	})
}

// Every field of a request is bounded: texts and lists in size, enums to the
// defined, numbers in range; or to the values that are named. Booleans and sequences need no rule.
func TestEveryRequestFieldIsBounded(t *testing.T) {
	unbounded := map[protoreflect.FullName]string{
		"meridian.log.v1.TailLogRequest.from": "any sequence may be asked for; there is an answer for each",
	}
	seen := map[protoreflect.FullName]bool{}
	var visit func(protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] || strings.HasPrefix(string(m.FullName()), "google.") {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			field := m.Fields().Get(i)
			rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
			if why := bounded(field, rules); why != "" && unbounded[field.FullName()] == "" {
				t.Errorf("%s: %s", field.FullName(), why)
			}
			if field.Message() != nil {
				visit(field.Message())
			}
		}
	}
	eachMethod(func(m protoreflect.MethodDescriptor) { visit(m.Input()) })
	if len(seen) < 15 {
		t.Errorf("looked at %d messages", len(seen))
	}
}

// bounded says what rule a field lacks.
func bounded(field protoreflect.FieldDescriptor, rules *validate.FieldRules) string {
	if field.IsList() {
		if rules.GetRepeated().GetMaxItems() == 0 {
			return "a list needs max_items"
		}
		return ""
	}
	switch field.Kind() {
	case protoreflect.StringKind:
		if s := rules.GetString(); s.GetMaxLen() == 0 && s.GetMaxBytes() == 0 && len(s.GetIn()) == 0 && !strings.HasSuffix(s.GetPattern(), "$") {
			return "a text needs max_len, max_bytes, in or a closed pattern"
		}
	case protoreflect.BytesKind:
		if rules.GetBytes().GetMaxLen() == 0 {
			return "bytes need max_len"
		}
	case protoreflect.EnumKind:
		if e := rules.GetEnum(); !e.GetDefinedOnly() && len(e.GetIn()) == 0 {
			return "an enum needs defined_only or in"
		}
	case protoreflect.BoolKind, protoreflect.MessageKind:
	default:
		if rules == nil {
			return "a number needs a range"
		}
	}
	return ""
}

package eventlog_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// schema is a file of message types that exist in these tests only.
type schema struct{ file protoreflect.FileDescriptor }

// field is one field of such a message: kind is "string", "[]string" or the name
// of a message, with [] for a list of them.
type field struct{ name, kind, personal string }

type message struct {
	name   string
	fields []field
}

func newSchema(t testing.TB, messages ...message) schema {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{
		Name: new("test.proto"), Package: new("test.v1"), Syntax: new("proto3"),
		Dependency: []string{"meridian/common/v1/options.proto"},
	}
	for _, m := range messages {
		d := &descriptorpb.DescriptorProto{Name: new(m.name)}
		for i, f := range m.fields {
			d.Field = append(d.Field, f.describe(int32(i+1)))
		}
		file.MessageType = append(file.MessageType, d)
	}
	built, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return schema{built}
}

func (f field) describe(number int32) *descriptorpb.FieldDescriptorProto {
	d := &descriptorpb.FieldDescriptorProto{
		Name: new(f.name), Number: new(number),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	kind, list := strings.CutPrefix(f.kind, "[]")
	if list {
		d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	if kind == "string" {
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	} else {
		d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), new(".test.v1."+kind)
	}
	if f.personal != "" {
		d.Options = &descriptorpb.FieldOptions{}
		proto.SetExtension(d.Options, commonv1.E_Personal, f.personal)
	}
	return d
}

func (s schema) of(name string) protoreflect.MessageDescriptor {
	return s.file.Messages().ByName(protoreflect.Name(name))
}

// FindMessageByName makes a schema the registry of a store.
func (s schema) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if d := s.of(string(name.Name())); d != nil && d.FullName() == name {
		return dynamicpb.NewMessageType(d), nil
	}
	return nil, protoregistry.NotFound
}

// event makes a message from JSON.
func (s schema) event(t testing.TB, name, json string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(s.of(name))
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	return m
}

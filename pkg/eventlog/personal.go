package eventlog

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// personal says where the personal fields of a message type are.
type personal struct {
	fields []personalField
	nested []nestedPersonal
	// err says why events of this type cannot be recorded, or is nil.
	err error
}

// personalField is a field with the option `personal`, and the field that holds
// the id of the user whom it is about.
type personalField struct{ data, user protoreflect.FieldDescriptor }

// nestedPersonal is a field with a message that has personal fields.
type nestedPersonal struct {
	field protoreflect.FieldDescriptor
	plan  *personal
}

// CheckPersonal says whether events of a type can be recorded: whether the
// option `personal` is used as it may be. Services check their events with it
// when they start; Append checks again.
//
// A personal field may be of any kind, repeated and maps too, and is about one
// user: the option names a singular string field of the same message. Personal
// fields may be inside singular message fields, at any depth. They may not be
// inside the elements of a repeated field or map, because the elements could
// not be put together again once one of several users is erased: record one
// event for each user instead. They may not be inside a message that contains
// itself.
//
// Errors: DEFECT that names the field.
func CheckPersonal(event protoreflect.MessageDescriptor) error {
	return planPersonal(event).err
}

func planPersonal(event protoreflect.MessageDescriptor) *personal {
	p, err := findPersonal(event, nil)
	if err != nil {
		return &personal{err: err}
	}
	return p
}

// findPersonal returns the plan of a message type. path holds the types around.
func findPersonal(m protoreflect.MessageDescriptor, path []protoreflect.FullName) (*personal, error) {
	p := &personal{}
	path = append(slices.Clone(path), m.FullName())
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if name := personalOption(field); name != "" {
			user, err := userField(field, name)
			if err != nil {
				return nil, err
			}
			p.fields = append(p.fields, personalField{data: field, user: user})
			continue
		}
		element := field.Message()
		if element == nil || !hasPersonal(element, map[protoreflect.FullName]bool{}) {
			continue
		}
		if field.IsList() || field.IsMap() {
			return nil, misuse(field, "holds personal data inside the elements of a repeated field or map")
		}
		if slices.Contains(path, element.FullName()) {
			return nil, misuse(field, "holds personal data inside a message that contains itself")
		}
		plan, err := findPersonal(element, path)
		if err != nil {
			return nil, err
		}
		p.nested = append(p.nested, nestedPersonal{field: field, plan: plan})
	}
	return p, nil
}

// hasPersonal says whether a message type holds a personal field at any depth.
func hasPersonal(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[m.FullName()] {
		return false
	}
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if personalOption(field) != "" {
			return true
		}
		if field.Message() != nil && hasPersonal(field.Message(), seen) {
			return true
		}
	}
	return false
}

func personalOption(field protoreflect.FieldDescriptor) string {
	options, ok := field.Options().(*descriptorpb.FieldOptions)
	if !ok || options == nil {
		return ""
	}
	name, _ := proto.GetExtension(options, commonv1.E_Personal).(string)
	return name
}

// userField finds the field that a personal field's option names.
func userField(field protoreflect.FieldDescriptor, name string) (protoreflect.FieldDescriptor, error) {
	user := field.ContainingMessage().Fields().ByName(protoreflect.Name(name))
	switch {
	case user == nil:
		return nil, misuse(field, "names a user field that does not exist")
	case user.Kind() != protoreflect.StringKind || user.Cardinality() == protoreflect.Repeated:
		return nil, misuse(field, "names a user field that is not a singular string")
	case personalOption(user) != "":
		return nil, misuse(field, "names a user field that is personal itself")
	}
	return user, nil
}

func misuse(field protoreflect.FieldDescriptor, detail string) error {
	return defect(fmt.Sprintf("personal option: %s %s", field.FullName(), detail)).
		With("field", string(field.FullName()))
}

// plan returns the plan of a type. Plans are kept: types are few.
func (s *Store) plan(m protoreflect.MessageDescriptor) *personal {
	if p, ok := s.personal.Load(m); ok {
		return p.(*personal) //nolint:forcetypeassert // only plans are stored
	}
	p, _ := s.personal.LoadOrStore(m, planPersonal(m))
	return p.(*personal) //nolint:forcetypeassert // only plans are stored
}

// draft is an event before it has a place in its log: encoded, its personal
// data apart.
type draft struct {
	kind string
	data []byte
	// sealed is ordered by user.
	sealed []part
}

// part is the personal data of one user: a message of the event's type that
// holds only that.
type part struct {
	user  string
	plain []byte
}

// draft encodes an event and sets its personal fields apart. It does not change
// event. position is where the event is in the append, for errors.
func (s *Store) draft(position int, event proto.Message) (draft, error) {
	name := fmt.Sprintf("events[%d]", position)
	if event == nil || !event.ProtoReflect().IsValid() {
		return draft{}, fault.Field(name, "required", "an event is nil")
	}
	m := event.ProtoReflect()
	plan := s.plan(m.Descriptor())
	if plan.err != nil {
		return draft{}, plan.err
	}
	d := draft{kind: string(m.Descriptor().FullName())}
	parts := map[string]proto.Message{}
	if len(plan.fields)+len(plan.nested) > 0 {
		event = proto.Clone(event)
		part := func(user string) protoreflect.Message {
			if parts[user] == nil {
				parts[user] = m.New().Interface()
			}
			return parts[user].ProtoReflect()
		}
		if err := plan.split(name, event.ProtoReflect(), part); err != nil {
			return draft{}, err
		}
	}
	var err error
	if d.data, err = encode(name, event); err != nil {
		return draft{}, err
	}
	for user, message := range parts {
		plain, err := encode(name, message)
		if err != nil {
			return draft{}, err
		}
		d.sealed = append(d.sealed, part{user: user, plain: plain})
	}
	slices.SortFunc(d.sealed, func(a, b part) int { return strings.Compare(a.user, b.user) })
	return d, nil
}

// split moves the personal fields of a message to the parts of their users.
func (p *personal) split(name string, from protoreflect.Message, part func(user string) protoreflect.Message) error {
	if len(from.GetUnknown()) > 0 {
		// A field that this binary does not know could be personal.
		return fault.Field(name, "known_fields", "the event has fields that this binary does not know")
	}
	for _, f := range p.fields {
		if !from.Has(f.data) {
			continue
		}
		user := from.Get(f.user).String()
		if !id.Valid(id.User, user) {
			return fault.Field(name+"."+string(f.user.Name()), "user_id", "personal data needs the id of its user")
		}
		part(user).Set(f.data, from.Get(f.data))
		from.Clear(f.data)
	}
	for _, n := range p.nested {
		if !from.Has(n.field) {
			continue
		}
		inner := func(user string) protoreflect.Message { return part(user).Mutable(n.field).Message() }
		err := n.plan.split(name+"."+string(n.field.Name()), from.Mutable(n.field).Message(), inner)
		if err != nil {
			return err
		}
	}
	return nil
}

func encode(name string, m proto.Message) ([]byte, error) {
	if proto.Size(m) > MaxEventBytes {
		return nil, tooLarge(name)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		// The cause quotes the value of a field that is not UTF-8.
		return nil, fault.Field(name, "encodable", "the event cannot be encoded")
	}
	return b, nil
}

func tooLarge(name string) error {
	return fault.Field(name, "max_bytes", fmt.Sprintf("an event has at most %d bytes", MaxEventBytes))
}

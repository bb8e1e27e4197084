package serve

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// method is what the descriptor says about a procedure.
type method struct {
	procedure string
	// service is the full name: meridian.authz.v1.CheckService.
	service string
	// access is nil when the procedure declares none.
	access *commonv1.Access
	// organization is the request's field of that name, or nil.
	organization protoreflect.FieldDescriptor
	budget       budget
	clientStream bool
	seen         atomic.Pointer[observers]
}

// methods remembers methods by procedure.
type methods struct {
	mu  sync.Mutex
	all atomic.Pointer[map[string]*method]
}

func (m *methods) of(spec connect.Spec) *method {
	if all := m.all.Load(); all != nil {
		if known, ok := (*all)[spec.Procedure]; ok {
			return known
		}
	}
	return m.add(spec)
}

func (m *methods) add(spec connect.Spec) *method {
	m.mu.Lock()
	defer m.mu.Unlock()
	grown := make(map[string]*method)
	if all := m.all.Load(); all != nil {
		maps.Copy(grown, *all)
	}
	if known, ok := grown[spec.Procedure]; ok {
		return known
	}
	added := newMethod(spec)
	grown[spec.Procedure] = added
	m.all.Store(&grown)
	return added
}

func newMethod(spec connect.Spec) *method {
	m := &method{procedure: spec.Procedure, budget: manage}
	m.service, _, _ = strings.Cut(strings.TrimPrefix(spec.Procedure, "/"), "/")
	descriptor, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return m
	}
	m.clientStream = descriptor.IsStreamingClient()
	if field := descriptor.Input().Fields().ByName("organization"); isText(field) {
		m.organization = field
	}
	if options := descriptor.Options(); proto.HasExtension(options, commonv1.E_Access) {
		m.access, _ = proto.GetExtension(options, commonv1.E_Access).(*commonv1.Access)
	}
	m.budget = budgetOf(spec.IdempotencyLevel, m.access)
	return m
}

func isText(field protoreflect.FieldDescriptor) bool {
	return field != nil && field.Kind() == protoreflect.StringKind && field.Cardinality() != protoreflect.Repeated
}

// organizationOf returns the organization that a request names, or "".
func (m *method) organizationOf(message any) string {
	request, ok := message.(proto.Message)
	if !ok || m.organization == nil {
		return ""
	}
	return request.ProtoReflect().Get(m.organization).String()
}

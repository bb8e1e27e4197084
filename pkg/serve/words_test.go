package serve_test

import (
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// Rules say in words what a field must be, and keep their field and name.
func TestRulesInWords(t *testing.T) {
	t.Parallel()
	const model = "mdl_00000000000000000000000000000001"
	for name, c := range map[string]struct {
		request           proto.Message
		field, rule, text string
	}{
		"slug": {
			&identityv1.CreateOrganizationRequest{Slug: "Acme", Name: "n", IdempotencyKey: "k"}, "slug", "string.pattern",
			"slug: must be a slug: 2 to 63 lower-case letters and digits",
		},
		"key": {
			&identityv1.CreateOrganizationRequest{Slug: "acme", Name: "n", IdempotencyKey: "a b"}, "idempotency_key", "string.pattern",
			"idempotency_key: must be of printable ASCII characters, without spaces",
		},
		"organization": {
			&identityv1.GetOrganizationRequest{Organization: "acme"}, "organization", "string.pattern",
			"organization: must be an organization's id: org_ and 26 of the digits",
		},
		"one of many": {
			&authzv1.Canary{Organizations: []string{acme, "acme"}}, "organizations[1]", "string.pattern",
			"organizations[1]: must be an organization's id: org_",
		},
		"state": {
			&authzv1.SetModelStateRequest{Model: model, State: authzv1.ModelState_MODEL_STATE_DRAFT, IdempotencyKey: "k"}, "state", "enum.not_in",
			"state: must be one of MODEL_STATE_CANARY, MODEL_STATE_ACTIVE, MODEL_STATE_RETIRED",
		},
		"no state": {
			&authzv1.SetModelStateRequest{Model: model, State: 99, IdempotencyKey: "k"}, "state", "enum.defined_only",
			"state: must be one of MODEL_STATE_CANARY, MODEL_STATE_ACTIVE, MODEL_STATE_RETIRED",
		},
		"a rule of another kind": {
			&identityv1.CreateOrganizationRequest{Slug: "acme", IdempotencyKey: "k"}, "name", "string.min_len",
			"name: must be at least 1 characters",
		},
	} {
		f, _ := fault.As(serve.Validate(c.request))
		if f == nil || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != c.field || f.Meta["rule"] != c.rule || !strings.HasPrefix(f.Detail, c.text) {
			t.Errorf("%s: %+v, want %s… of %s", name, f, c.text, c.field)
		}
	}
}

// Every pattern of the contract has words.
func TestEveryPatternHasWords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "meridian.") {
			patternsOf(file.Messages(), seen)
		}
		return true
	})
	if len(seen) < 8 {
		t.Fatalf("found only %d patterns", len(seen))
	}
	for pattern := range seen {
		if serve.Words(pattern) == "" {
			t.Errorf("no words for %s", pattern)
		}
	}
}

func patternsOf(messages protoreflect.MessageDescriptors, seen map[string]bool) {
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			rules, _ := proto.GetExtension(fields.Get(j).Options(), validate.E_Field).(*validate.FieldRules)
			for _, of := range []*validate.StringRules{rules.GetString(), rules.GetRepeated().GetItems().GetString()} {
				if of.GetPattern() != "" {
					seen[of.GetPattern()] = true
				}
			}
		}
		patternsOf(messages.Get(i).Messages(), seen)
	}
}

package rpc

import (
	"errors"
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestFaultsOfTheEngine(t *testing.T) {
	var (
		unknown  = &authzcore.ConditionUnknownError{Field: "condition", Condition: "office"}
		value    = &authzcore.ContextError{Condition: "office", Parameter: "hour", Detail: "is not a number"}
		failed   = &authzcore.ConditionError{Condition: "office", Detail: "division by zero"}
		number   = &authzcore.InputError{Field: "context", Rule: "number", Detail: "a number must be finite"}
		relation = &authzcore.RelationUnknownError{Field: "relation", Type: "table", Relation: "rader"}
	)
	of := func(err error) error {
		return fmt.Errorf("decide: %w", &authzcore.RelationshipError{Index: 2, Err: err})
	}
	for name, tc := range map[string]struct {
		got         error
		reason      commonv1.Reason
		kind        fault.Kind
		field, rule string
	}{
		"condition of a relationship":     {relationshipFault(unknown, "updates[1].relationship."), commonv1.Reason_CONDITION_UNKNOWN, fault.Invalid, "updates[1].relationship.condition.name", "condition_of_model"},
		"value of a relationship":         {relationshipFault(value, "relationships[7]."), commonv1.Reason_CONTEXT_INVALID, fault.Invalid, "relationships[7].condition.context", "parameter_type"},
		"number of a relationship":        {relationshipFault(number, "relationships[7]."), commonv1.Reason_INVALID_FIELD, fault.Invalid, "relationships[7].condition.context", "number"},
		"relation of a relationship":      {relationshipFault(relation, "relationships[7]."), commonv1.Reason_RELATION_UNKNOWN, fault.Invalid, "relationships[7].relation", "relation_of_type"},
		"value of a question":             {engineFault(value, "items[3]."), commonv1.Reason_CONTEXT_INVALID, fault.Invalid, "items[3].circumstances.context", "parameter_type"},
		"number of a question":            {engineFault(number, ""), commonv1.Reason_INVALID_FIELD, fault.Invalid, "circumstances.context", "number"},
		"condition that fails":            {engineFault(failed, "items[3]."), commonv1.Reason_CONDITION_FAILED, fault.Precondition, "", ""},
		"condition of a contextual one":   {engineFault(of(unknown), ""), commonv1.Reason_CONDITION_UNKNOWN, fault.Invalid, "circumstances.relationships[2].condition.name", "condition_of_model"},
		"value of a contextual one":       {engineFault(of(value), "items[3]."), commonv1.Reason_CONTEXT_INVALID, fault.Invalid, "items[3].circumstances.relationships[2].condition.context", "parameter_type"},
		"relation of a contextual one":    {engineFault(of(relation), ""), commonv1.Reason_RELATION_UNKNOWN, fault.Invalid, "circumstances.relationships[2].relation", "relation_of_type"},
		"relation of a question, as ever": {engineFault(relation, "filter."), commonv1.Reason_RELATION_UNKNOWN, fault.Invalid, "filter.relation", "relation_of_type"},
	} {
		t.Run(name, func(t *testing.T) {
			var f *fault.Fault
			if !errors.As(tc.got, &f) {
				t.Fatalf("%v is no fault", tc.got)
			}
			if f.Reason != tc.reason || f.Kind != tc.kind || f.Meta["field"] != tc.field || f.Meta["rule"] != tc.rule {
				t.Errorf("fault %v of kind %d with %v, want %v of kind %d at %q by %q", f, f.Kind, f.Meta, tc.reason, tc.kind, tc.field, tc.rule)
			}
		})
	}
}

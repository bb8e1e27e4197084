package authzcore

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of an evaluation. None of them is ever answered as a deny.
var (
	// ErrTooDeep: the answer lies further away than Limits.Depth steps.
	ErrTooDeep = errors.New("evaluation goes deeper than the limit")
	// ErrTooWide: an object has more sub-questions than Limits.Breadth, or the
	// whole check visits or evaluates more than Limits.Visits.
	ErrTooWide = errors.New("evaluation visits more objects than the limit")
	// ErrCycle: relationships make a permission depend on its own absence.
	ErrCycle = errors.New("a permission depends on its own absence")
	// ErrConditional: the answer depends on parameters that were not given.
	ErrConditional = errors.New("the answer depends on parameters that were not given")
	// ErrNoModel: the view has no model to decide by.
	ErrNoModel = errors.New("no model is assigned")
)

// Errors of names, graphs and snapshots.
var (
	// ErrNamesFull: a process knows at most 65,535 type names and as many
	// relation names.
	ErrNamesFull = errors.New("all models of this process together have more than 65,535 names of types, of relations or of conditions; remove models that are not used and restart")
	// ErrGraphFull: a graph holds at most 2^31 objects and sets and 4 GiB of ids.
	ErrGraphFull = errors.New("the graph is full")
	// ErrSequence: changes must come in increasing sequence.
	ErrSequence = errors.New("sequence is not after the graph's")
	// ErrSnapshotCorrupt: a snapshot is truncated, damaged or of another version.
	ErrSnapshotCorrupt = errors.New("snapshot is corrupt")
	// ErrSnapshotTooLarge: a snapshot holds more than SnapshotLimits allow.
	ErrSnapshotTooLarge = errors.New("snapshot is larger than the limit")
)

// InputError says which part of an input breaks which rule.
type InputError struct {
	// Field is resource, relation, permission, subject, condition, context,
	// expires_at or relationship.
	Field string
	// Rule is a short lower-case name: format, type_name, relation_name, empty,
	// length, utf8, nfc, character, wildcard.
	Rule string
	// Detail is for people.
	Detail string
}

// Error names the field and says what is wrong.
func (e *InputError) Error() string { return e.Field + ": " + e.Detail }

// TypeUnknownError says that the model has no such type.
type TypeUnknownError struct {
	// Field is resource or subject.
	Field string
	Type  string
}

// Error names the type.
func (e *TypeUnknownError) Error() string {
	return fmt.Sprintf("%s: the model has no type %q", e.Field, e.Type)
}

// RelationUnknownError says that the type has no such relation or permission.
type RelationUnknownError struct {
	// Field is relation, permission or subject.
	Field    string
	Type     string
	Relation string
}

// Error names the type and the relation.
func (e *RelationUnknownError) Error() string {
	return fmt.Sprintf("%s: type %q has no relation %q", e.Field, e.Type, e.Relation)
}

// ForbiddenError says that the model knows all names but does not let this
// relationship be stored.
type ForbiddenError struct {
	Relationship Relationship
	// Field is relation (it is computed only), subject (its kind is not among the
	// relation's type restrictions) or condition (its kind is, but not so).
	Field string
	// Rule is computed or type_restriction.
	Rule string
	// Detail is for people: what would be allowed.
	Detail string
}

// Error says what the model would allow.
func (e *ForbiddenError) Error() string { return e.Field + ": " + e.Detail }

// ConditionUnknownError says that the model has no such condition.
type ConditionUnknownError struct {
	// Field is condition.
	Field     string
	Condition string
}

// Error names the condition.
func (e *ConditionUnknownError) Error() string {
	return fmt.Sprintf("%s: the model has no condition %q", e.Field, e.Condition)
}

// ContextError says that a parameter's value does not fit: it is not of the
// parameter's type, or the condition has no such parameter.
type ContextError struct {
	Condition, Parameter string
	// Detail is for people.
	Detail string
}

// Error names condition and parameter.
func (e *ContextError) Error() string {
	return fmt.Sprintf("context: parameter %s of condition %s: %s", e.Parameter, e.Condition, e.Detail)
}

// ConditionError says that a condition cannot be evaluated with the values that
// it was given, or costs more than the limit.
type ConditionError struct {
	Condition string
	// Detail is for people.
	Detail string
}

// Error names the condition.
func (e *ConditionError) Error() string {
	return fmt.Sprintf("condition %s: %s", e.Condition, e.Detail)
}

// RelationshipError says which of several relationships is refused.
type RelationshipError struct {
	Index int
	Err   error
}

// Error gives the index.
func (e *RelationshipError) Error() string {
	return fmt.Sprintf("relationships[%d]: %v", e.Index, e.Err)
}

// Unwrap returns what is wrong with it.
func (e *RelationshipError) Unwrap() error { return e.Err }

// Problem is one thing that is wrong in a model.
type Problem struct {
	// File is the path given to Compile; empty when no single file is meant.
	File string
	// Line and Column are 1-based; 0 when no place is meant.
	Line, Column int
	Message      string
	// Conflict: a module defines what another module owns.
	Conflict bool
}

// String is file:line:column: message.
func (p Problem) String() string {
	if p.Line == 0 {
		return strings.TrimPrefix(p.File+": "+p.Message, ": ")
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// ModelError lists what is wrong in a model, ordered by file and place.
type ModelError struct {
	Problems []Problem
}

// Error is the first problem and how many more there are.
func (e *ModelError) Error() string {
	switch len(e.Problems) {
	case 0:
		return "model is invalid"
	case 1:
		return e.Problems[0].String()
	default:
		return fmt.Sprintf("%s (and %d more)", e.Problems[0], len(e.Problems)-1)
	}
}

// Conflict says whether a module defines what another module owns.
func (e *ModelError) Conflict() bool {
	for _, p := range e.Problems {
		if p.Conflict {
			return true
		}
	}
	return false
}

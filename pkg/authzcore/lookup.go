package authzcore

import "context"

// Found is one resource or subject in a list.
type Found struct {
	// Name is type:id, type:* or type:id#relation.
	Name string
	// Conditional: as in Answer.
	Conditional bool
}

// ObjectQuery asks on which resources of a type a subject has a permission.
type ObjectQuery struct {
	Subject, Permission, Type string
}

// ListObjects returns them, sorted.
//
// Errors: those of Decide; with ctx.Err() it returns what was found until then.
func (v *View) ListObjects(ctx context.Context, q ObjectQuery, c Circumstances) ([]Found, error) {
	return nil, nil
}

// SubjectQuery asks which subjects of a type have a permission on a resource.
type SubjectQuery struct {
	Resource, Permission, Type string
	// Relation asks for usersets type:id#relation; empty for objects.
	Relation string
}

// ListSubjects returns them, sorted. Of the subjects that only a wildcard
// reaches it lists the wildcard, type:*.
//
// Errors: those of Decide; with ctx.Err() it returns what was found until then.
func (v *View) ListSubjects(ctx context.Context, q SubjectQuery, c Circumstances) ([]Found, error) {
	return nil, nil
}

// Action is a permission that a subject has on a resource.
type Action struct {
	Permission string
	Decision   Decision
	// Computed: no relationship can be stored with it.
	Computed bool
}

// ListActions returns the permissions and relations that a subject has on a
// resource, sorted.
//
// Errors: those of Decide.
func (v *View) ListActions(ctx context.Context, subject, resource string, c Circumstances) ([]Action, error) {
	return nil, nil
}

// ExpandNode is a part of a definition with the stored subjects.
type ExpandNode struct {
	// Kind is StepDirect, StepComputed or StepFrom for leaves, StepUnion,
	// StepIntersection or StepExclusion (base, subtract) over Nodes.
	Kind StepKind
	// Name is resource#relation.
	Name string
	// Relationships are the stored ones, for StepDirect.
	Relationships []Relationship
	// Usersets are what StepComputed and StepFrom lead to.
	Usersets []string
	// Tupleset is the relation of StepFrom.
	Tupleset string
	Nodes    []*ExpandNode
}

// Expand shows one level of what a permission of a resource is made of.
// Relationships that have expired are left out; those with conditions are not.
//
// Errors: those of Decide; ErrTooWide for more than 10,000 subjects.
func (v *View) Expand(ctx context.Context, resource, permission string, c Circumstances) (*ExpandNode, error) {
	return nil, nil
}

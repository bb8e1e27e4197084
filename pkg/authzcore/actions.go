package authzcore

import (
	"context"
	"time"
)

// Action is a permission that a subject has on a resource.
type Action struct {
	Permission string
	Decision   Decision
	// Computed: no relationship can be stored with it.
	Computed bool
}

// ListActions returns the permissions and relations for which Decide would not
// answer Deny, sorted.
//
// Errors: those of Decide.
func (v *View) ListActions(ctx context.Context, subject, resource string, under Circumstances) ([]Action, error) {
	if v.model == nil {
		return nil, ErrNoModel
	}
	o, err := ParseObject(resource)
	if err != nil {
		return nil, err
	}
	t := v.model.schema.byName[o.Type]
	if t == nil {
		return nil, &TypeUnknownError{Field: "resource", Type: o.Type}
	}
	if _, err := ParseSubject(subject); err != nil {
		return nil, err
	}
	if under.At.IsZero() {
		under.At = time.Now()
	}
	var out []Action
	for _, r := range t.relations {
		decision, err := v.Decide(ctx, Question{Subject: subject, Permission: r.name, Resource: resource}, under)
		if err != nil {
			return out, err
		}
		if decision.Answer != Deny {
			out = append(out, Action{Permission: r.name, Decision: decision, Computed: len(r.restrictions) == 0})
		}
	}
	return out, nil
}

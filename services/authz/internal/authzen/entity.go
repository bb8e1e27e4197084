package authzen

import "github.com/meridian-iam/meridian/pkg/fault"

// entity is a subject or a resource.
type entity struct {
	typ, id    string
	properties object
}

// name is type:id.
func (e entity) name() string { return e.typ + ":" + escape(e.id) }

// need says what of an entity a request must have.
type need bool

const (
	whole  need = true
	byType need = false // what a search is for; its id is ignored
)

// entityOf reads a subject or a resource.
//
// Errors: INVALID_FIELD.
func entityOf(o object, name string, needed need) (entity, error) {
	var out entity
	from, err := o.object("", name)
	switch {
	case err != nil:
		return out, err
	case from == nil:
		return out, fault.Field(name, "required", "is required")
	}
	path := name + "."
	if out.typ, err = from.text(path, "type"); err != nil {
		return out, err
	}
	if needed == whole {
		if out.id, err = from.text(path, "id"); err != nil {
			return out, err
		}
	}
	out.properties, err = from.object(path, "properties")
	return out, err
}

// action is what is to be done.
type action struct {
	name       string
	properties object
}

// actionOf reads an action.
//
// Errors: INVALID_FIELD.
func actionOf(o object) (action, error) {
	var out action
	from, err := o.object("", "action")
	switch {
	case err != nil:
		return out, err
	case from == nil:
		return out, fault.Field("action", "required", "is required")
	}
	if out.name, err = from.text("action.", "name"); err != nil {
		return out, err
	}
	out.properties, err = from.object("action.", "properties")
	return out, err
}

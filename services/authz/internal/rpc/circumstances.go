package rpc

import (
	"errors"
	"maps"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Bounds of what a question is asked under.
const (
	// maxContextBytes is of the context as JSON, and of the contexts of all
	// contextual relationships together.
	maxContextBytes = 4 << 10
	maxContextual   = 100
)

// under returns a view and the circumstances that a question is asked under.
//
// Errors: INVALID_FIELD, and those of a relationship that the model does not
// allow, with its place.
func under(view *authzcore.View, from *authzv1.Circumstances) (*authzcore.View, authzcore.Circumstances, error) {
	var out authzcore.Circumstances
	if len(from.GetContext().GetFields()) > 0 {
		var err error
		if out.Context, err = parseContext(from.GetContext()); err != nil {
			return nil, out, engineFault(err, "")
		}
		if err := checkContext(out.Context); err != nil {
			return nil, out, err
		}
	}
	if len(from.GetRelationships()) == 0 {
		return view, out, nil
	}
	with, err := withContextual(view, from.GetRelationships())
	return with, out, err
}

// checkContext bounds the values of parameters.
func checkContext(context map[string]any) error {
	encoded, err := authzcore.EncodeContext(context)
	input, tooLong := errors.AsType[*authzcore.InputError](err)
	tooLong = tooLong && input.Rule == "length"
	if err != nil && !tooLong {
		return engineFault(err, "")
	}
	if tooLong || len(encoded) > maxContextBytes {
		return fault.Field("circumstances.context", "length", "must be at most 4 KiB as JSON")
	}
	return nil
}

// withContextual returns a view in which the given relationships hold too.
func withContextual(view *authzcore.View, from []*authzv1.Relationship) (*authzcore.View, error) {
	if len(from) > maxContextual {
		return nil, fault.Field("circumstances.relationships", "max_items", "must be at most 100")
	}
	relationships, bytes := make([]authzcore.Relationship, len(from)), 0
	for i, r := range from {
		var err error
		if relationships[i], err = parseRelationship(r); err != nil {
			return nil, engineFault(&authzcore.RelationshipError{Index: i, Err: err}, "")
		}
		if bytes += len(relationships[i].Terms.Context); bytes > maxContextBytes {
			return nil, fault.Field("circumstances.relationships", "length", "must have at most 4 KiB of context in all, as JSON")
		}
	}
	with, err := view.With(relationships)
	if err != nil {
		return nil, engineFault(err, "")
	}
	return with, nil
}

// merged returns the context of a batch with an item's, whose values win.
func merged(batch, item map[string]any) map[string]any {
	if len(item) == 0 {
		return batch
	}
	if len(batch) == 0 {
		return item
	}
	out := maps.Clone(batch)
	maps.Copy(out, item)
	return out
}

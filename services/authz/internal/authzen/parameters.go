package authzen

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Parameters of conditions come from the whole request. A member of `context` is
// the parameter of its name; a property of the subject, the action or the
// resource is the parameter subject_NAME, action_NAME or resource_NAME:
//
//	{"subject":  {…, "properties": {"role": "admin"}},      subject_role
//	 "action":   {…, "properties": {"soft": true}},         action_soft
//	 "resource": {…, "properties": {"status": "archived"}}, resource_status
//	 "context":  {"ip": "10.0.0.1"}}                        ip
//
// The same parameter from two places is refused. What no condition of the model
// names is ignored.

// source is a part of a request with parameters.
type source struct {
	// path is for people, prefix comes before the names.
	path, prefix string
	values       object
}

// circumstances are the parameters of a request; nil for none.
//
// Errors: INVALID_FIELD.
func circumstances(sources ...source) (*authzv1.Circumstances, error) {
	var all map[string]any
	for _, from := range sources {
		for name, value := range from.values {
			parameter := from.prefix + name
			if _, twice := all[parameter]; twice {
				return nil, fault.Field(from.path, "unique", fmt.Sprintf("gives the parameter %q once more", parameter))
			}
			if all == nil {
				all = map[string]any{}
			}
			all[parameter] = value
		}
	}
	if len(all) == 0 {
		return nil, nil //nolint:nilnil // none is no error
	}
	values, err := structpb.NewStruct(all)
	if err != nil {
		return nil, fault.Field("context", "value", "cannot be used").Because(err)
	}
	return &authzv1.Circumstances{Context: values}, nil
}

package rpc

import (
	"math"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// parseRelationship reads a relationship with its terms.
//
// Errors: *authzcore.InputError; what the model does not allow is not known
// here.
func parseRelationship(r *authzv1.Relationship) (authzcore.Relationship, error) {
	out := authzcore.Relationship{Resource: r.GetResource(), Relation: r.GetRelation(), Subject: r.GetSubject()}
	if err := authzcore.ParseRelationship(out); err != nil {
		return out, err
	}
	if at := r.GetExpiresAt(); at != nil {
		if !at.IsValid() {
			return out, &authzcore.InputError{Field: "expires_at", Rule: "timestamp", Detail: "is not a time"}
		}
		if at.GetSeconds() <= 0 { // the engine's 0 is never
			return out, &authzcore.InputError{Field: "expires_at", Rule: "future", Detail: "must be a time to come"}
		}
		out.Terms.Expires = at.GetSeconds()
	}
	out.Terms.Condition = r.GetCondition().GetName()
	values, err := parseContext(r.GetCondition().GetContext())
	if err != nil {
		return out, err
	}
	out.Terms.Context, err = authzcore.EncodeContext(values)
	return out, err
}

// parseContext returns the values of parameters as the engine takes them.
//
// Errors: *authzcore.InputError with rule number: Struct.AsMap turns what is no
// number into a text.
func parseContext(s *structpb.Struct) (map[string]any, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // no values are an answer
	}
	for _, v := range s.GetFields() {
		if !finite(v) {
			return nil, &authzcore.InputError{Field: "context", Rule: "number", Detail: "a number must be finite"}
		}
	}
	return s.AsMap(), nil
}

// finite says whether all numbers of a value are numbers.
func finite(v *structpb.Value) bool {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		return !math.IsNaN(kind.NumberValue) && !math.IsInf(kind.NumberValue, 0)
	case *structpb.Value_ListValue:
		return !slices.ContainsFunc(kind.ListValue.GetValues(), func(v *structpb.Value) bool { return !finite(v) })
	case *structpb.Value_StructValue:
		for _, v := range kind.StructValue.GetFields() {
			if !finite(v) {
				return false
			}
		}
	}
	return true
}

// relationshipMessage is the opposite of parseRelationship.
//
// Errors: a context that EncodeContext did not write.
func relationshipMessage(r authzcore.Relationship) (*authzv1.Relationship, error) {
	out := &authzv1.Relationship{Resource: r.Resource, Relation: r.Relation, Subject: r.Subject}
	if r.Terms.Expires != 0 {
		out.ExpiresAt = &timestamppb.Timestamp{Seconds: r.Terms.Expires}
	}
	if r.Terms.Condition == "" {
		return out, nil
	}
	out.Condition = &authzv1.Condition{Name: r.Terms.Condition}
	if r.Terms.Context == "" {
		return out, nil
	}
	values, err := authzcore.DecodeContext(r.Terms.Context)
	if err != nil {
		return nil, err
	}
	out.Condition.Context, err = structpb.NewStruct(values)
	return out, err
}

// relationshipMessages returns the first of the relationships, as many as one
// message may hold: contexts are large. It is at least one.
func relationshipMessages(relationships []authzcore.Relationship) ([]*authzv1.Relationship, error) {
	out := make([]*authzv1.Relationship, 0, len(relationships))
	size := 0
	for _, r := range relationships {
		message, err := relationshipMessage(r)
		if err != nil {
			return nil, err
		}
		if size += proto.Size(message); size > messageBytes && len(out) > 0 {
			return out, nil
		}
		out = append(out, message)
	}
	return out, nil
}

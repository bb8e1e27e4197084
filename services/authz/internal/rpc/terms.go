package rpc

import (
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
	if r.GetCondition().GetContext() == nil {
		return out, nil
	}
	var err error
	out.Terms.Context, err = authzcore.EncodeContext(r.GetCondition().GetContext().AsMap())
	return out, err
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

package meridian

import (
	"context"
	"crypto/rand"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Touch makes a relationship present, as table:orders, reader, user:anna; being
// present already is no error.
func Touch(resource, relation, subject string) *authzv1.RelationshipUpdate {
	return update(authzv1.Operation_OPERATION_TOUCH, resource, relation, subject)
}

// Delete makes a relationship absent; being absent already is no error.
func Delete(resource, relation, subject string) *authzv1.RelationshipUpdate {
	return update(authzv1.Operation_OPERATION_DELETE, resource, relation, subject)
}

func update(op authzv1.Operation, resource, relation, subject string) *authzv1.RelationshipUpdate {
	return &authzv1.RelationshipUpdate{
		Operation:    op,
		Relationship: &authzv1.Relationship{Resource: resource, Relation: relation, Subject: subject},
	}
}

// Write makes 1 to 100 changes in one commit, all or none, and returns its
// revision token: keep it beside what the changes are about, and pass it as
// Question.AtLeast. It repeats itself safely under a key of its own; to repeat a
// write of an earlier process use Client.Relationships with a key that you keep.
func (c *Client) Write(ctx context.Context, organization string, updates ...*authzv1.RelationshipUpdate) (revision string, err error) {
	answer, err := c.Relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization: organization, Updates: updates, IdempotencyKey: rand.Text(),
	})
	return answer.GetRevision(), err
}

package meridian

import (
	"context"
	"errors"
	"iter"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// ErrIncomplete ends a list whose pages take longer than the deadline of a call.
// Use the streams of Client.Lookups for it, or give the context more time.
var ErrIncomplete = errors.New("the list takes longer than its deadline")

// Found is one resource or subject of a list.
type Found struct {
	// Name is type:id; for subjects also type:* or type:id#relation.
	Name string
	// Conditional: it depends on parameters that the query's Context lacks.
	Conditional bool
}

// ObjectQuery asks on which resources of a type a subject has a permission.
type ObjectQuery struct {
	Organization, Subject, Permission, Type string

	// AtLeast, Context and Contextual are as in Question.
	AtLeast    string
	Context    map[string]any
	Contextual []*authzv1.Relationship
	// PageSize is how many are asked for at once, 1,000 at most; 0 means 1,000.
	PageSize int
}

const pageSize = 1000

// ListObjects lists them, sorted, and asks for the next page when it is needed:
//
//	for found, err := range client.ListObjects(ctx, query) {
//		if err != nil { … }
//	}
//
// An error is the last that comes.
//
// The pages are of one revision as long as the server keeps the list, 60 seconds
// after a page and 5 minutes in all, and has room for it. After that a page is of a
// newer revision: what was written in between may be missing or come as well. Whoever
// needs one revision for all uses the streams of Client.Lookups, which always are of
// one.
func (c *Client) ListObjects(ctx context.Context, q ObjectQuery) iter.Seq2[Found, error] {
	return pages(func(cursor string) ([]Found, string, authzv1.Incomplete, error) {
		under, err := circumstances(q.Context, q.Contextual)
		if err != nil {
			return nil, "", 0, err
		}
		answer, err := c.Lookups.ListObjects(ctx, &authzv1.ListObjectsRequest{
			Organization: q.Organization, Subject: q.Subject, Permission: q.Permission, ResourceType: q.Type,
			Freshness: freshness(q.AtLeast), Circumstances: under, PageSize: sizeOf(q.PageSize), Cursor: cursor,
		})
		if err != nil {
			return nil, "", 0, err
		}
		return found(answer.GetObjects(), answer.GetConditional()), answer.GetNextCursor(), answer.GetIncompleteReason(), nil
	})
}

// SubjectQuery asks which subjects of a type have a permission on a resource.
type SubjectQuery struct {
	Organization, Resource, Permission, Type string

	// Relation asks for usersets type:id#relation; empty for objects.
	Relation string
	// AtLeast, Context and Contextual are as in Question.
	AtLeast    string
	Context    map[string]any
	Contextual []*authzv1.Relationship
	// PageSize is how many are asked for at once, 1,000 at most; 0 means 1,000.
	PageSize int
}

// ListSubjects lists them, sorted, in pages as ListObjects does and with the same
// limits: of one revision as long as the server keeps the list. Of the subjects that only
// a wildcard reaches it lists the wildcard, type:*.
func (c *Client) ListSubjects(ctx context.Context, q SubjectQuery) iter.Seq2[Found, error] {
	return pages(func(cursor string) ([]Found, string, authzv1.Incomplete, error) {
		under, err := circumstances(q.Context, q.Contextual)
		if err != nil {
			return nil, "", 0, err
		}
		answer, err := c.Lookups.ListSubjects(ctx, &authzv1.ListSubjectsRequest{
			Organization: q.Organization, Resource: q.Resource, Permission: q.Permission, SubjectType: q.Type, SubjectRelation: q.Relation,
			Freshness: freshness(q.AtLeast), Circumstances: under, PageSize: sizeOf(q.PageSize), Cursor: cursor,
		})
		if err != nil {
			return nil, "", 0, err
		}
		return found(answer.GetSubjects(), answer.GetConditional()), answer.GetNextCursor(), answer.GetIncompleteReason(), nil
	})
}

// found joins the names of a page with the places of those that are conditional.
func found(names []string, conditional []uint32) []Found {
	out := make([]Found, len(names))
	for i, name := range names {
		out[i].Name = name
	}
	for _, i := range conditional {
		out[i].Conditional = true
	}
	return out
}

func sizeOf(asked int) uint32 {
	if asked <= 0 || asked > pageSize {
		return pageSize
	}
	return uint32(asked)
}

// pages yields what fetch brings, page after page. A page that was cut by its
// deadline begins again with its cursor, so nothing of it is yielded.
func pages(fetch func(cursor string) ([]Found, string, authzv1.Incomplete, error)) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		for cursor := ""; ; {
			found, next, incomplete, err := fetch(cursor)
			if err == nil && incomplete == authzv1.Incomplete_INCOMPLETE_DEADLINE {
				err = ErrIncomplete
			}
			if err != nil {
				yield(Found{}, err)
				return
			}
			for _, f := range found {
				if !yield(f, nil) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

// Action is a permission or relation that a subject has on a resource.
type Action struct {
	Permission string
	// Conditional: it depends on parameters that the question's Context lacks.
	Conditional bool
	Missing     []string
	// Computed: no relationship can be written with it.
	Computed bool
}

// ListActions lists what the subject of a question may do with its resource,
// sorted. The question's Permission is not looked at.
func (c *Client) ListActions(ctx context.Context, q Question) ([]Action, error) {
	under, err := circumstances(q.Context, q.Contextual)
	if err != nil {
		return nil, err
	}
	answer, err := c.Lookups.ListActions(ctx, &authzv1.ListActionsRequest{
		Organization: q.Organization, Subject: q.Subject, Resource: q.Resource, Freshness: freshness(q.AtLeast), Circumstances: under,
	})
	if err != nil {
		return nil, err
	}
	out := make([]Action, len(answer.GetActions()))
	for i, a := range answer.GetActions() {
		out[i] = Action{
			Permission: a.GetPermission(), Conditional: a.GetDecision() == authzv1.Decision_DECISION_CONDITIONAL,
			Missing: a.GetMissingContext(), Computed: a.GetComputed(),
		}
	}
	return out, nil
}

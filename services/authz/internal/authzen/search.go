package authzen

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/page"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// searchReply is a page of results.
type searchReply struct {
	Page    pageReply `json:"page"`
	Context *details  `json:"context,omitempty"`
	Results []any     `json:"results"`
}

type foundEntity struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type foundAction struct {
	Name string `json:"name"`
}

// searchSubjects lists who may. The id * stands for everybody of the type.
func (s *Service) searchSubjects(ctx context.Context, r request) (reply, error) {
	subject, err := entityOf(r.body, "subject", byType)
	if err != nil {
		return reply{}, err
	}
	resource, err := entityOf(r.body, "resource", whole)
	if err != nil {
		return reply{}, err
	}
	act, under, at, err := searchOf(r.body, subject, resource)
	if err != nil {
		return reply{}, err
	}
	answer, err := s.Lookups.ListSubjects(ctx, &authzv1.ListSubjectsRequest{
		Organization: r.organization, Resource: resource.name(), Permission: act.name, SubjectType: subject.typ,
		Freshness: r.freshness, Circumstances: under, PageSize: at.limit, Cursor: at.cursor,
	})
	if err != nil {
		return nothing(err)
	}
	return found(entities(answer.GetSubjects(), answer.GetConditional()), answer, at)
}

// searchResources lists on what a subject may.
func (s *Service) searchResources(ctx context.Context, r request) (reply, error) {
	subject, err := entityOf(r.body, "subject", whole)
	if err != nil {
		return reply{}, err
	}
	resource, err := entityOf(r.body, "resource", byType)
	if err != nil {
		return reply{}, err
	}
	act, under, at, err := searchOf(r.body, subject, resource)
	if err != nil {
		return reply{}, err
	}
	answer, err := s.Lookups.ListObjects(ctx, &authzv1.ListObjectsRequest{
		Organization: r.organization, Subject: subject.name(), Permission: act.name, ResourceType: resource.typ,
		Freshness: r.freshness, Circumstances: under, PageSize: at.limit, Cursor: at.cursor,
	})
	if err != nil {
		return nothing(err)
	}
	return found(entities(answer.GetObjects(), answer.GetConditional()), answer, at)
}

// searchOf reads what searches for subjects and resources have in common.
func searchOf(body object, subject, resource entity) (action, *authzv1.Circumstances, pageRequest, error) {
	act, err := actionOf(body)
	if err != nil {
		return act, nil, pageRequest{}, err
	}
	under, at, err := surroundings(body, subject, act, resource)
	return act, under, at, err
}

func surroundings(body object, subject entity, act action, resource entity) (*authzv1.Circumstances, pageRequest, error) {
	given, err := body.object("", "context")
	if err != nil {
		return nil, pageRequest{}, err
	}
	under, err := circumstances(source{"context", "", given}, source{"subject.properties", "subject_", subject.properties},
		source{"action.properties", "action_", act.properties}, source{"resource.properties", "resource_", resource.properties})
	if err != nil {
		return nil, pageRequest{}, err
	}
	at, err := pageOf(body)
	return under, at, err
}

// entities are what was found, but for what depends on parameters that were not
// given: an evaluation of that is no permit.
func entities(names []string, conditional []uint32) []any {
	out := make([]any, 0, len(names))
	for i, name := range names {
		if len(conditional) > 0 && conditional[0] == uint32(i) {
			conditional = conditional[1:]
			continue
		}
		typ, id, _ := strings.Cut(name, ":")
		out = append(out, foundEntity{Type: typ, ID: unescape(id)})
	}
	return out
}

// listed is a page of a list.
type listed interface {
	answered
	GetNextCursor() string
	GetIncompleteReason() authzv1.Incomplete
}

func found(results []any, answer listed, at pageRequest) (reply, error) {
	if answer.GetIncompleteReason() == authzv1.Incomplete_INCOMPLETE_DEADLINE {
		return reply{}, fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the search takes longer than its deadline")
	}
	return reply{
		body:     searchReply{Page: at.reply(answer.GetNextCursor(), len(results)), Results: results},
		revision: revisionOf(answer),
	}, nil
}

// nothing is the answer to a search for what the model does not know: no
// results, and why.
func nothing(err error) (reply, error) {
	f, ok := fault.As(err)
	if !ok || !unknown(f.Reason) {
		return reply{}, err
	}
	return reply{
		body:     searchReply{Results: []any{}, Context: &details{ReasonAdmin: because(404, textOf(f))}},
		revision: f.Meta["revision"],
	}, nil
}

// searchActions lists what a subject may do with a resource: permissions and
// relations, sorted.
func (s *Service) searchActions(ctx context.Context, r request) (reply, error) {
	subject, err := entityOf(r.body, "subject", whole)
	if err != nil {
		return reply{}, err
	}
	resource, err := entityOf(r.body, "resource", whole)
	if err != nil {
		return reply{}, err
	}
	under, at, err := surroundings(r.body, subject, action{}, resource)
	if err != nil {
		return reply{}, err
	}
	answer, err := s.Lookups.ListActions(ctx, &authzv1.ListActionsRequest{
		Organization: r.organization, Subject: subject.name(), Resource: resource.name(), Freshness: r.freshness, Circumstances: under,
	})
	if err != nil {
		return nothing(err)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(under)
	if err != nil {
		return reply{}, err
	}
	query := strings.Join([]string{"authzen actions", r.organization, subject.name(), resource.name(), string(encoded)}, "\n")
	after, err := page.After(query, at.cursor)
	if err != nil {
		return reply{}, err
	}
	results, next := actionsAfter(answer.GetActions(), after, int(at.limit))
	if next != "" {
		next = page.Cursor(query, next)
	}
	return reply{body: searchReply{Page: at.reply(next, len(results)), Results: results}, revision: revisionOf(answer)}, nil
}

// actionsAfter returns a page of the actions that are allowed, and the last of
// them when there are more.
func actionsAfter(actions []*authzv1.Action, after string, limit int) (results []any, last string) {
	allowed := slices.DeleteFunc(slices.Clone(actions), func(a *authzv1.Action) bool {
		return a.GetDecision() != authzv1.Decision_DECISION_ALLOW || a.GetPermission() <= after
	})
	results = []any{}
	for i, a := range allowed {
		if i == limit {
			return results, allowed[i-1].GetPermission()
		}
		results = append(results, foundAction{Name: a.GetPermission()})
	}
	return results, ""
}

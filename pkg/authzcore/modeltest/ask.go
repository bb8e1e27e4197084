package modeltest

import (
	"context"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// answer asks the engine.
//
// Errors: those of View.Decide and of the lists.
func (q *question) answer(ctx context.Context, view *authzcore.View) (answer, error) {
	switch q.kind {
	case kindListObjects:
		list, err := view.ListObjects(ctx, authzcore.ObjectQuery{Subject: q.user, Permission: q.relation, Type: q.object}, q.circumstances)
		return answer{list: sorted(list)}, err
	case kindListUsers:
		var all []authzcore.Found
		for _, f := range q.filters {
			list, err := view.ListSubjects(ctx, authzcore.SubjectQuery{
				Resource: q.object, Permission: q.relation, Type: f.typ, Relation: f.relation,
			}, q.circumstances)
			if err != nil {
				return answer{}, err
			}
			all = append(all, list...)
		}
		return answer{list: sorted(all)}, nil
	default:
		d, err := view.Decide(ctx, q.engine(), q.circumstances)
		return answer{decision: d.Answer, missing: d.Missing}, err
	}
}

// engine is a check as the engine asks it.
func (q *question) engine() authzcore.Question {
	return authzcore.Question{Subject: q.user, Permission: q.relation, Resource: q.object}
}

func sorted(list []authzcore.Found) []authzcore.Found {
	slices.SortFunc(list, func(a, b authzcore.Found) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(list)
}

// text is true, false or conditional, or the names of a list, one a line.
func (a *answer) text(k kind) string {
	if k == kindCheck {
		return [...]string{authzcore.Deny: "false", authzcore.Allow: "true", authzcore.Conditional: "conditional"}[a.decision]
	}
	lines := make([]string, len(a.list))
	for i, f := range a.list {
		lines[i] = item(f)
	}
	return strings.Join(lines, "\n")
}

func item(f authzcore.Found) string {
	if f.Conditional {
		return f.Name + " (conditional)"
	}
	return f.Name
}

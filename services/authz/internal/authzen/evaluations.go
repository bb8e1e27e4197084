package authzen

import (
	"context"
	"maps"

	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// maxEvaluations is how many evaluations one request may have.
const maxEvaluations = 200

// evaluationsReply lists decisions in the order of the request. With a semantic
// that stops early, those after the stop are left out.
type evaluationsReply struct {
	Evaluations []decision `json:"evaluations"`
}

// evaluations answers many evaluations at one revision. Without any it answers
// as evaluation does.
func (s *Service) evaluations(ctx context.Context, r request) (reply, error) {
	items, err := itemsOf(r.body)
	if err != nil {
		return reply{}, err
	}
	last, err := lastOf(r.body)
	if err != nil {
		return reply{}, err
	}
	if len(items) == 0 {
		return s.evaluation(ctx, r)
	}
	out, revision, err := s.decideAll(ctx, r, items)
	if err != nil {
		return reply{}, err
	}
	for i, d := range out {
		if last(d.Decision) {
			out = out[:i+1]
			break
		}
	}
	return reply{body: evaluationsReply{out}, revision: revision}, nil
}

// itemsOf returns the evaluations of a request, each with the defaults at its
// top. One that is no object stays nil.
func itemsOf(body object) ([]object, error) {
	var listed []any
	switch value := body["evaluations"].(type) {
	case nil:
		return nil, nil
	case []any:
		listed = value
	default:
		return nil, fault.Field("evaluations", "array", "must be an array")
	}
	if len(listed) > maxEvaluations {
		return nil, fault.New(fault.Invalid, commonv1.Reason_BATCH_TOO_LARGE, "evaluations: must be at most 200").
			With("field", "evaluations").With("limit", "200")
	}
	out := make([]object, len(listed))
	for i, value := range listed {
		own, ok := value.(map[string]any)
		if !ok {
			continue
		}
		out[i] = object{}
		for _, name := range []string{"subject", "action", "resource", "context"} {
			if value, given := body[name]; given {
				out[i][name] = value
			}
		}
		maps.Copy(out[i], own)
	}
	return out, nil
}

// lastOf returns after which decision a request's semantic stops.
func lastOf(body object) (func(allowed bool) bool, error) {
	options, err := body.object("", "options")
	if err != nil {
		return nil, err
	}
	switch options["evaluations_semantic"] {
	case nil, "execute_all":
		return func(bool) bool { return false }, nil
	case "deny_on_first_deny":
		return func(allowed bool) bool { return !allowed }, nil
	case "permit_on_first_permit":
		return func(allowed bool) bool { return allowed }, nil
	default:
		return nil, fault.Field("options.evaluations_semantic", "in",
			"must be execute_all, deny_on_first_deny or permit_on_first_permit")
	}
}

// decideAll decides all items; an error of one is its answer.
func (s *Service) decideAll(ctx context.Context, r request, items []object) ([]decision, string, error) {
	out := make([]decision, len(items))
	batch := &authzv1.BatchCheckRequest{Organization: r.organization, Freshness: r.freshness}
	var places []int
	for i, item := range items {
		asked, err := questionOf(item)
		if err != nil {
			out[i] = undecided(err)
			continue
		}
		batch.Items, places = append(batch.Items, asked), append(places, i)
	}
	answer, err := s.Checks.BatchCheck(ctx, batch)
	if err != nil {
		return nil, "", err
	}
	for n, result := range answer.GetResults() {
		out[places[n]] = resultOf(result)
	}
	return out, revisionOf(answer), nil
}

func questionOf(item object) (*authzv1.BatchCheckItem, error) {
	if item == nil {
		return nil, fault.Field("evaluation", "object", "must be an object")
	}
	return question(item)
}

func resultOf(result *authzv1.BatchCheckResult) decision {
	failed := result.GetError()
	if failed == nil {
		return decided(result.GetDecision(), result.GetMissingContext())
	}
	reason := commonv1.Reason(commonv1.Reason_value[failed.GetReason()])
	f := fault.New(kindOf(reason), reason, failed.GetMessage())
	if unknown(reason) {
		return notOfModel(textOf(f))
	}
	return undecided(f)
}

// kindOf is the kind of an item's error, of those that one item can have.
func kindOf(reason commonv1.Reason) fault.Kind {
	switch reason {
	case commonv1.Reason_INVALID_FIELD, commonv1.Reason_CONTEXT_INVALID, commonv1.Reason_CONDITION_FAILED,
		commonv1.Reason_CONDITION_UNKNOWN, commonv1.Reason_EVALUATION_CYCLE:
		return fault.Invalid
	default:
		return fault.Internal
	}
}

// undecided is the answer of an item that failed.
func undecided(err error) decision {
	f, ok := fault.As(err)
	if !ok || f.Kind == fault.Internal && f.Reason == commonv1.Reason_DEFECT {
		f = fault.New(fault.Internal, commonv1.Reason_DEFECT, "internal error")
	}
	return decision{Context: &details{Error: &itemError{Status: statusOf(f), Message: f.Reason.String() + ": " + textOf(f)}}}
}

package authzen

import (
	"context"
	"strconv"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// decision is the answer to one evaluation.
type decision struct {
	Decision bool     `json:"decision"`
	Context  *details `json:"context,omitempty"`
}

// details is what a decision says beside yes or no.
type details struct {
	// Error is why an item of many was not decided.
	Error *itemError `json:"error,omitempty"`
	// ReasonAdmin and ReasonUser have texts by HTTP status.
	ReasonAdmin map[string]string `json:"reason_admin,omitempty"`
	ReasonUser  map[string]string `json:"reason_user,omitempty"`
	// MissingContext are the parameters that a conditional answer lacks.
	MissingContext []string `json:"missing_context,omitempty"`
}

type itemError struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// question reads an evaluation.
//
// Errors: INVALID_FIELD.
func question(o object) (*authzv1.BatchCheckItem, error) {
	subject, err := entityOf(o, "subject", whole)
	if err != nil {
		return nil, err
	}
	act, err := actionOf(o)
	if err != nil {
		return nil, err
	}
	resource, err := entityOf(o, "resource", whole)
	if err != nil {
		return nil, err
	}
	given, err := o.object("", "context")
	if err != nil {
		return nil, err
	}
	under, err := circumstances(source{"context", "", given}, source{"subject.properties", "subject_", subject.properties},
		source{"action.properties", "action_", act.properties}, source{"resource.properties", "resource_", resource.properties})
	return &authzv1.BatchCheckItem{
		Subject: subject.name(), Permission: act.name, Resource: resource.name(), Circumstances: under,
	}, err
}

// evaluation answers one evaluation.
func (s *Service) evaluation(ctx context.Context, r request) (reply, error) {
	asked, err := question(r.body)
	if err != nil {
		return reply{}, err
	}
	answer, err := s.Checks.Check(ctx, &authzv1.CheckRequest{
		Organization: r.organization, Subject: asked.GetSubject(), Permission: asked.GetPermission(), Resource: asked.GetResource(),
		Freshness: r.freshness, Circumstances: asked.GetCircumstances(),
	})
	if f, ok := fault.As(err); ok && unknown(f.Reason) {
		return reply{body: notOfModel(textOf(f)), revision: f.Meta["revision"]}, nil
	}
	if err != nil {
		return reply{}, err
	}
	return reply{body: decided(answer.GetDecision(), answer.GetMissingContext()), revision: revisionOf(answer)}, nil
}

// decided says what a decision of Meridian is in AuthZEN: only ALLOW is true.
func decided(d authzv1.Decision, missing []string) decision {
	if d != authzv1.Decision_DECISION_CONDITIONAL {
		return decision{Decision: d == authzv1.Decision_DECISION_ALLOW}
	}
	return decision{Context: &details{
		ReasonAdmin:    because(403, "the answer depends on parameters that were not given: "+strings.Join(missing, ", ")),
		MissingContext: missing,
	}}
}

func because(status int, text string) map[string]string {
	return map[string]string{strconv.Itoa(status): text}
}

// unknown says whether an answer was refused because the model does not know
// what was asked about. In AuthZEN that is a deny with a reason, and a search
// without results: nobody may do what nobody defined.
func unknown(reason commonv1.Reason) bool {
	return reason == commonv1.Reason_TYPE_UNKNOWN || reason == commonv1.Reason_RELATION_UNKNOWN
}

func notOfModel(text string) decision {
	return decision{Context: &details{ReasonAdmin: because(404, text)}}
}

package authzen

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// metadataReply says where the endpoints of one organization are. It is the same
// whether or not there is such an organization.
type metadataReply struct {
	PolicyDecisionPoint       string `json:"policy_decision_point"`
	AccessEvaluationEndpoint  string `json:"access_evaluation_endpoint"`
	AccessEvaluationsEndpoint string `json:"access_evaluations_endpoint"`
	SearchSubjectEndpoint     string `json:"search_subject_endpoint"`
	SearchResourceEndpoint    string `json:"search_resource_endpoint"`
	SearchActionEndpoint      string `json:"search_action_endpoint"`
}

// metadata answers with URLs made from the configuration: a Host header is the
// client's to choose.
func (s *Service) metadata(w http.ResponseWriter, r *http.Request) error {
	organization := organizationOf(r)
	if !id.Valid(id.Organization, organization) {
		return principal.OrganizationNotFound()
	}
	if s.PublicURL == "" {
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "this deployment has no public URL configured (authz.public_url)")
	}
	base := s.PublicURL + "/authzen/" + organization
	return write(w, r, metadataReply{
		PolicyDecisionPoint:      base,
		AccessEvaluationEndpoint: base + evaluationPath, AccessEvaluationsEndpoint: base + evaluationsPath,
		SearchSubjectEndpoint: base + subjectsPath, SearchResourceEndpoint: base + resourcesPath, SearchActionEndpoint: base + actionsPath,
	})
}

// CheckPublicURL says what is wrong with a public URL; an empty one is in order.
func CheckPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("is not a URL: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || text != u.Scheme+"://"+u.Host {
		return fmt.Errorf("want scheme and host only, as https://pdp.example.com, have %q", text)
	}
	return nil
}

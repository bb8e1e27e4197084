// Package authzen answers the AuthZEN Authorization API 1.0 over plain HTTP. It
// translates: what decides is what answers Check and the lists.
//
//	POST /authzen/{organization}/access/v1/evaluation
//	POST /authzen/{organization}/access/v1/evaluations
//	POST /authzen/{organization}/access/v1/search/{subject,resource,action}
//	GET  /.well-known/authzen-configuration/authzen/{organization}
//
// A subject and a resource are type:id, an action is a permission or relation
// of the resource's type. Ids that hold what ids may not hold are escaped
// (id.go). Parameters of conditions come from the request (parameters.go).
//
// Source: https://openid.net/specs/authorization-api-1_0.html
package authzen

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Service serves the API of every organization.
type Service struct {
	Checks  authzv1connect.CheckServiceHandler
	Lookups authzv1connect.LookupServiceHandler
	// PublicURL is where PEPs reach this service, as https://pdp.example.com.
	// Empty: there is no metadata.
	PublicURL string
}

// RevisionHeader has a revision token: in a request, the answer is not older; in
// an answer, the state that it was given at.
const RevisionHeader = "X-Meridian-Revision"

// The paths of the endpoints, after the organization's.
const (
	evaluationPath  = "/access/v1/evaluation"
	evaluationsPath = "/access/v1/evaluations"
	subjectsPath    = "/access/v1/search/subject"
	resourcesPath   = "/access/v1/search/resource"
	actionsPath     = "/access/v1/search/action"
)

// request is one call.
type request struct {
	organization string
	freshness    *commonv1.Freshness
	body         object
}

// reply is an answer's body and the revision that it was given at.
type reply struct {
	body     any
	revision string
}

// Mount adds the endpoints to a server.
func (s *Service) Mount(server *serve.Server) {
	for path, endpoint := range map[string]struct {
		name string
		// as is the procedure that the scopes of a token must have.
		as     string
		answer func(ctx context.Context, r request) (reply, error)
	}{
		evaluationPath:  {"Evaluation", authzv1connect.CheckServiceCheckProcedure, s.evaluation},
		evaluationsPath: {"Evaluations", authzv1connect.CheckServiceBatchCheckProcedure, s.evaluations},
		subjectsPath:    {"SearchSubject", authzv1connect.LookupServiceListSubjectsProcedure, s.searchSubjects},
		resourcesPath:   {"SearchResource", authzv1connect.LookupServiceListObjectsProcedure, s.searchResources},
		actionsPath:     {"SearchAction", authzv1connect.LookupServiceListActionsProcedure, s.searchActions},
	} {
		server.Mount("POST /authzen/{organization}"+path, server.Plain(serve.Plain{
			Procedure: "/authzen.v1/" + endpoint.name, Audience: authzv1connect.CheckServiceName, Scope: endpoint.as,
			Access:       &commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_READ},
			Organization: organizationOf,
			Answer:       answer(endpoint.answer),
			Refuse:       refuse,
		}))
	}
	server.Mount("GET /.well-known/authzen-configuration/authzen/{organization}", server.Plain(serve.Plain{
		Procedure: "/authzen.v1/Metadata", Audience: authzv1connect.CheckServiceName, Answer: s.metadata, Refuse: refuse,
	}))
}

func organizationOf(r *http.Request) string { return r.PathValue("organization") }

// answer reads a request, and writes what is answered.
func answer(from func(ctx context.Context, r request) (reply, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !id.Valid(id.Organization, organizationOf(r)) {
			return principal.OrganizationNotFound()
		}
		call := request{organization: organizationOf(r)}
		var err error
		if call.freshness, err = freshnessOf(r.Header); err != nil {
			return err
		}
		if call.body, err = readBody(w, r); err != nil {
			return err
		}
		out, err := from(r.Context(), call)
		if err != nil {
			return err
		}
		if out.revision != "" {
			w.Header().Set(RevisionHeader, out.revision)
		}
		return write(w, r, out.body)
	}
}

func write(w http.ResponseWriter, r *http.Request, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	echo(w, r)
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(content)
	return err
}

// maxToken bounds a revision token, as the rules of the contract do.
const maxToken = 128

func freshnessOf(h http.Header) (*commonv1.Freshness, error) {
	token := h.Get(RevisionHeader)
	if len(token) > maxToken {
		return nil, fault.Field(RevisionHeader, "length", "must be a revision token of at most 128 characters")
	}
	if token == "" {
		return nil, nil //nolint:nilnil // no freshness is asked for
	}
	return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: token}}, nil
}

// answered is what every message of an answer has.
type answered interface{ GetEvaluatedAt() *commonv1.Evaluated }

func revisionOf(m answered) string { return m.GetEvaluatedAt().GetRevision() }

var _ answered = (*authzv1.CheckResponse)(nil)

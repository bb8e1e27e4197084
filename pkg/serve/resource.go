package serve

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// metadataPath is where a protected resource says what it is; the path of the
// resource's own name follows.
//
// Source: RFC 9728 section 3.
const metadataPath = "/.well-known/oauth-protected-resource"

// Resource is what clients of others need to know to call this server with an access
// token that they have yet to get.
type Resource struct {
	// Identifiers are the names of this API in access tokens. Those that are https URLs
	// have a document; http is for loopback addresses.
	Identifiers []string
	// Issuers are the authorization servers whose tokens are taken.
	Issuers []string
	// Scopes are those that a token may have here.
	Scopes []string
	// Name is for people.
	Name string
}

// resource serves the documents of a Resource, and knows where each is.
type resource struct {
	// documents are by the host and path at which they are asked for.
	documents map[string][]byte
	// places are the URLs of the documents by host; first is that of a host which is
	// none of them.
	places map[string]string
	first  string
}

// document is RFC 9728 section 2.
type document struct {
	Resource string   `json:"resource"`
	Issuers  []string `json:"authorization_servers"`
	Scopes   []string `json:"scopes_supported,omitempty"`
	Methods  []string `json:"bearer_methods_supported"`
	Name     string   `json:"resource_name,omitempty"`
}

// newResource returns nil where there is nothing to tell.
func newResource(of *Resource) *resource {
	if of == nil || len(of.Issuers) == 0 {
		return nil
	}
	r := &resource{documents: map[string][]byte{}, places: map[string]string{}}
	for _, identifier := range of.Identifiers {
		u, err := url.Parse(identifier)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			continue // a name that says nothing of where it is
		}
		path := strings.TrimSuffix(u.EscapedPath(), "/")
		content, err := json.Marshal(document{
			Resource: identifier, Issuers: of.Issuers, Scopes: of.Scopes, Methods: []string{"header"}, Name: of.Name,
		})
		if err != nil {
			continue // it never fails for strings
		}
		host := strings.ToLower(u.Host)
		r.documents[host+metadataPath+path] = content
		place := u.Scheme + "://" + u.Host + metadataPath + path
		if r.places[host] == "" {
			r.places[host] = place
		}
		if r.first == "" {
			r.first = place
		}
	}
	return r
}

// challenge is the header WWW-Authenticate of a request to a host whose token was not
// taken; "": nothing is to be said.
//
// Source: RFC 9728 section 5.1; RFC 6750 section 3.
func (r *resource) challenge(host string, f *fault.Fault) string {
	if r == nil || f.Kind != fault.Unauthenticated {
		return ""
	}
	var parts []string
	if f.Reason == commonv1.Reason_TOKEN_REJECTED {
		parts = append(parts, `error="invalid_token"`)
	}
	place, known := r.places[strings.ToLower(host)]
	if !known {
		place = r.first
	}
	if place != "" {
		parts = append(parts, `resource_metadata="`+place+`"`)
	}
	return strings.TrimSpace("Bearer " + strings.Join(parts, ", "))
}

// tells says whether a call's error is an answer of status 401, to which a challenge
// belongs: gRPC has none, nor has a stream.
func tells(spec connect.Spec, peer connect.Peer) bool {
	return peer.Protocol == connect.ProtocolConnect && spec.StreamType == connect.StreamTypeUnary
}

// mount adds the documents to a server.
func (r *resource) mount(s *Server) {
	handler := s.Plain(Plain{
		Procedure: "/oauth2/ProtectedResource", Audience: "oauth2",
		Answer: func(w http.ResponseWriter, req *http.Request) error {
			content, known := r.documents[strings.ToLower(req.Host)+strings.TrimSuffix(req.URL.EscapedPath(), "/")]
			if !known {
				http.NotFound(w, req)
				return nil
			}
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "public, max-age=300")
			_, err := w.Write(content)
			return err
		},
		Refuse: func(w http.ResponseWriter, _ *http.Request, f *fault.Fault) {
			status := http.StatusInternalServerError
			if slices.Contains([]fault.Kind{fault.Unavailable, fault.Exhausted}, f.Kind) {
				status = http.StatusServiceUnavailable
			}
			http.Error(w, f.Reason.String(), status)
		},
	})
	s.Mount("GET "+metadataPath, handler)
	s.Mount("GET "+metadataPath+"/", handler)
}

package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/dpop"
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
	// have a document, and are where clients call it; http is for loopback addresses.
	Identifiers []string
	// Places are other URLs where clients call it, as https://mtls.api.example.com.
	Places []string
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
	// origins are what the URLs begin with that clients call, by host.
	origins map[string]string
}

// document is RFC 9728 section 2.
type document struct {
	Resource string   `json:"resource"`
	Issuers  []string `json:"authorization_servers"`
	Scopes   []string `json:"scopes_supported,omitempty"`
	Methods  []string `json:"bearer_methods_supported"`
	Name     string   `json:"resource_name,omitempty"`
	// ProofAlgorithms are those of proofs (DPoP), and Certificates says that tokens are
	// taken that are bound to a client's certificate.
	ProofAlgorithms []string `json:"dpop_signing_alg_values_supported"`
	Certificates    bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
}

// newResource returns nil where there is nothing to tell. asks says whether the clients of
// a host are asked for certificates.
func newResource(of *Resource, asks func(host string) bool) *resource {
	if of == nil || len(of.Issuers) == 0 {
		return nil
	}
	r := &resource{documents: map[string][]byte{}, places: map[string]string{}, origins: map[string]string{}}
	for _, text := range of.Places {
		if u, ok := placeOf(text); ok {
			r.origins[strings.ToLower(u.Host)] = u.Scheme + "://" + u.Host
		}
	}
	for _, identifier := range of.Identifiers {
		u, ok := placeOf(identifier)
		if !ok {
			continue // a name that says nothing of where it is
		}
		path := strings.TrimSuffix(u.EscapedPath(), "/")
		content, err := json.Marshal(document{
			Resource: identifier, Issuers: of.Issuers, Scopes: of.Scopes, Methods: []string{"header"}, Name: of.Name,
			ProofAlgorithms: dpop.Algorithms(), Certificates: asks(u.Hostname()),
		})
		if err != nil {
			continue // it never fails for strings
		}
		host := strings.ToLower(u.Host)
		r.documents[host+metadataPath+path] = content
		r.origins[host] = u.Scheme + "://" + u.Host
		place := r.origins[host] + metadataPath + path
		if r.places[host] == "" {
			r.places[host] = place
		}
		if r.first == "" {
			r.first = place
		}
	}
	return r
}

// placeOf is a URL that says where an API is.
func placeOf(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	return u, err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// called is the URL that a client called, without its query; "" for a host that is none of
// the server's.
func (r *resource) called(request *http.Request) string {
	if r == nil {
		return ""
	}
	origin, known := r.origins[strings.ToLower(request.Host)]
	if !known {
		return ""
	}
	return origin + request.URL.EscapedPath()
}

// challenge is the header WWW-Authenticate of a request to a host whose token was not
// taken; "": nothing is to be said. It is about proofs where the token is one that needs
// them, or was sent as one.
//
// Source: RFC 9728 section 5.1; RFC 6750 section 3; RFC 9449 section 7.1.
func (r *resource) challenge(host string, header http.Header, f *fault.Fault) string {
	if r == nil || f.Kind != fault.Unauthenticated {
		return ""
	}
	code := ""
	if f.Reason == commonv1.Reason_TOKEN_REJECTED {
		code = dpop.InvalidToken
	}
	refused, bound := errors.AsType[*dpop.Error](f)
	if bound {
		code = refused.Code
	}
	scheme, _, _ := strings.Cut(header.Get("Authorization"), " ")
	said := "Bearer "
	if code != "" {
		said += `error="` + code + `", `
	}
	if bound || strings.EqualFold(scheme, dpop.Scheme) {
		said = dpop.Challenge(code) + ", "
	}
	place, known := r.places[strings.ToLower(host)]
	if !known {
		place = r.first
	}
	if place != "" {
		said += `resource_metadata="` + place + `"`
	}
	return strings.TrimRight(said, ", ")
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

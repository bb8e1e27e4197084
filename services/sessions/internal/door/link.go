package door

import (
	"net/http"
	"net/url"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

const (
	maxToken = 256
)

// linkPaths are where links in letters lead, with the parameter token.
var linkPaths = []string{"/sign-in/link", "/confirm", "/recovery"}

// ofRequest is r as if it named the request that the browser's authentication is for: a
// letter names none.
func ofRequest(r *http.Request, request string) *http.Request {
	parameters := r.URL.Query()
	if request == "" || parameters.Has("request") {
		return r
	}
	parameters.Set("request", request)
	r = r.Clone(r.Context())
	r.URL = &url.URL{Path: r.URL.Path, RawQuery: parameters.Encode()}
	return r
}

// link asks to go on after a link in a letter was opened. It changes nothing, and asks
// nobody: programs open links ahead.
func (s *step) link() error {
	token := s.r.URL.Query().Get("token")
	if token == "" && s.r.URL.Path == "/recovery" {
		return s.to("/recover") // of a letter that says that something was changed
	}
	if token == "" || len(token) > maxToken {
		return s.beginAgain("link.wrong")
	}
	return s.show(pages.LinkArrived{Frame: s.frame(), Token: token})
}

// linked takes the proof in a link, in the browser that asked for it: a token is worth
// nothing to whoever else has it.
func (s *step) linked() error {
	token := s.field("token")
	if s.held.id == "" || token == "" {
		return s.beginAgain("link.wrong")
	}
	req := &identityv1.ContinueAuthenticationRequest{Proof: &identityv1.ContinueAuthenticationRequest_EmailLink{EmailLink: token}}
	return s.proceed(req, "email_link")
}

package identity

import (
	"net/http"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// MountHTTP adds what is not Connect to a server: the pages of other domains that may
// use the passkeys of this one, as browsers ask for them at the relying party's
// domain. Without any there is no such document.
//
// Source: WebAuthn Level 3 section 5.11, "Using Web Authentication across related
// origins".
func (s *Service) MountHTTP(server *serve.Server) {
	origins := s.relatedOrigins
	if origins == nil {
		return
	}
	server.Mount("GET /.well-known/webauthn", server.Plain(serve.Plain{
		Procedure: "/webauthn.v1/RelatedOrigins", Audience: identityv1connect.CredentialServiceName,
		Answer: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "public, max-age=300")
			_, err := w.Write(origins)
			return err
		},
		Refuse: func(w http.ResponseWriter, _ *http.Request, f *fault.Fault) {
			status := http.StatusServiceUnavailable
			if f.Kind == fault.Exhausted {
				status = http.StatusTooManyRequests
			}
			http.Error(w, f.Reason.String(), status)
		},
	}))
}

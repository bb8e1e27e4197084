package oidc

import (
	"net/http"

	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
)

// MountDoor adds the pages of signing in.
func (p *Provider) MountDoor(server *serve.Server, d *door.Door) {
	pages := server.Plain(serve.Plain{
		Procedure: "/oauth2/SignIn", Audience: audience, Refuse: p.refusePage,
		Answer: p.human(func(w http.ResponseWriter, r *http.Request, _ string) error {
			var err error
			d.Handler(func(_ http.ResponseWriter, _ *http.Request, e error) { err = e }).ServeHTTP(w, r)
			return err
		}),
	})
	for _, path := range []string{"/sign-in", "/sign-in/", "/sign-up", "/recover", "/confirm", "/recovery"} {
		server.Mount("GET "+path, pages)
		server.Mount("POST "+path, pages)
	}
	server.Mount("GET /assets/", server.Plain(serve.Plain{
		Procedure: "/oauth2/Assets", Audience: audience, Refuse: p.refusePage,
		Answer: func(w http.ResponseWriter, r *http.Request) error {
			p.Pages.Assets().ServeHTTP(w, r)
			return nil
		},
	}))
}

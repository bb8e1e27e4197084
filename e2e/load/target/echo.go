package target

import (
	"context"

	"github.com/meridian-iam/meridian/e2e/load/workset"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// Echo calls a service that decides nothing, as cmd/echo: what the same calls
// cost without authorization. Only Check makes sense.
type Echo struct{ *Meridian }

// NewEcho returns a client; it calls nothing yet.
func NewEcho(url string, http2 bool, connections int) Echo {
	m := NewMeridian(MeridianOptions{
		URL: url, Token: secret.NewString("none"), HTTP2: http2, Connections: connections,
		Organization: "org_00000000000000000000000000",
	})
	return Echo{m}
}

// Check implements [Target]. The answer has no meaning: it is taken as right.
func (e Echo) Check(ctx context.Context, q workset.Check, f Freshness) (bool, error) {
	_, err := e.Meridian.Check(ctx, q, f)
	return q.Expected, err
}

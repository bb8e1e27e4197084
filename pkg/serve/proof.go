package serve

import (
	"errors"
	"net/http"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// proves says whether a request may use an access token that is bound to something, or
// that it sends as one that is: it is made on a connection on which the client showed the
// certificate, and comes with a proof of the key.
//
// The URI of a proof is where the client called: the request's path at the place that this
// server has by the host which the request names. A host that is none of its own has no
// place, and no proof is for it: whoever was sent a proof cannot use it here by naming its
// own host. Of several processes behind one name each takes a proof once.
//
// A stream is proved when it opens. Its connection is the same as long as it is open.
//
// Errors: TOKEN_REJECTED, and PROOF_REJECTED where another proof helps.
//
// Source: RFC 9449 section 7; RFC 8705 section 3.
func (g *gate) proves(v *visit, header http.Header, scheme string, token secret.String, to *accesstoken.Confirmation) error {
	switch {
	case v == nil || !to.Provable():
		return unproved(commonv1.Reason_TOKEN_REJECTED, "the token is bound to something that cannot be proved here")
	case v.proved:
		return nil
	case !to.Certified(v.request.TLS):
		return unproved(commonv1.Reason_TOKEN_REJECTED, "the token is bound to another certificate")
	}
	err := g.seen.Check(dpop.Use{
		Request: dpop.Request{Proofs: header["Dpop"], Method: v.request.Method, URI: g.resource.called(v.request)},
		Scheme:  scheme, Token: token, Thumbprint: to.Key(),
	}, g.clock())
	if refused, ok := errors.AsType[*dpop.Error](err); ok {
		reason := commonv1.Reason_TOKEN_REJECTED
		if refused.Code == dpop.InvalidProof {
			reason = commonv1.Reason_PROOF_REJECTED
		}
		return unproved(reason, refused.Description).Because(err)
	}
	v.proved = err == nil
	return err
}

func unproved(reason commonv1.Reason, detail string) *fault.Fault {
	return fault.New(fault.Unauthenticated, reason, detail)
}

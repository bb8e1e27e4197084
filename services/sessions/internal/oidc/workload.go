package oidc

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// workloadGrant is the grant_type of workloads.
//
// Source: RFC 7523 section 2.1.
const workloadGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// workloadSeconds is how long a workload's token lives at most.
const workloadSeconds = 300

// workloadAlgorithms are those that issuers sign with: none with a secret.
//
// Source: JWT-SVID section 2.1.
var workloadAlgorithms = []jose.Algorithm{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}

// notGood is the one answer for a trust that there is not, and for what none of its keys
// signed: which organizations trust whom is not for everybody to find out.
func notGood() error {
	return answer.Refuse(answer.InvalidGrant, "the trust is unknown, or the assertion is not one of its issuer's")
}

// workload gives a workload a token of the service account of a trust, for what the
// trust's issuer signed for it. The request names the trust as its client, which has no
// secret: the assertion is all that proves anything.
//
// Source: RFC 7523 sections 2.1 and 3.1; RFC 7521 section 4.1.
func (p *Provider) workload(w http.ResponseWriter, r *http.Request, x *exchange) (tokens, error) {
	assertion := x.form.Get("assertion")
	switch {
	case len(r.Header.Values("Authorization")) > 0 || hasAny(x.form, "client_secret", "client_assertion", "client_assertion_type"):
		return tokens{}, answer.Refuse(answer.InvalidRequest, "a trust has no secret: client_id names it, and assertion proves all")
	case x.form.Get("client_id") == "":
		return tokens{}, answer.Refuse(answer.InvalidRequest, "client_id must name the trust")
	case assertion == "":
		return tokens{}, answer.Refuse(answer.InvalidRequest, "assertion is missing")
	}
	t, err := p.trusted(r.Context(), x.form.Get("client_id"))
	if err != nil {
		return tokens{}, err
	}
	claims, err := vouched(t.Settings, assertion)
	if err != nil {
		return tokens{}, err
	}
	if wrong := trust.Wrong(t.Settings, claims, p.Clock()); wrong != "" {
		return tokens{}, answer.Refuse(answer.InvalidGrant, "the assertion is refused: "+wrong)
	}
	x.client = store.Client{State: client.State{
		ID: t.ID, Organization: t.Organization, Settings: &eventv1.ClientSettings{AccessTokenSeconds: workloadSeconds},
	}}
	x.until = claims.Ends()
	if x.key, err = p.proved(w, r, x.client, x.issuer); err != nil {
		return tokens{}, err
	}
	return p.ofAccount(r.Context(), x, t.Settings)
}

// ofAccount is the token for the service account of a trust, if that one may act.
func (p *Provider) ofAccount(ctx context.Context, x *exchange, s *eventv1.TrustSettings) (tokens, error) {
	scopes, resources, err := narrowed(x.form, store.Grant{Scopes: s.GetMaxScopes(), Resources: s.GetResources()})
	if err != nil {
		return tokens{}, err
	}
	if len(x.form["resource"]) == 0 && len(resources) > 1 {
		resources = resources[:1]
	}
	if err := p.People.Account(ctx, x.client.Organization, s.GetServiceAccount()); err != nil {
		return tokens{}, err
	}
	return p.issue(x, accesstoken.Claims{
		Subject: s.GetServiceAccount(), Audience: resources, Client: x.client.ID, Scope: strings.Join(scopes, " "), Organization: x.client.Organization,
	})
}

// trusted is the trust that a request names.
func (p *Provider) trusted(ctx context.Context, name string) (store.Trust, error) {
	if !id.Valid(id.Trust, name) {
		return store.Trust{}, notGood()
	}
	t, err := store.FindTrust(ctx, p.DB.Pool(), name)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return store.Trust{}, notGood()
	}
	return t, err
}

// vouched is what one of the keys of a trust's issuer signed.
//
// Source: RFC 7523 section 3; JWT-SVID section 2 (typ is JWT or JOSE, or absent).
func vouched(s *eventv1.TrustSettings, assertion string) (trust.Claims, error) {
	parse, types := jose.ParseKeys, []string{""}
	if trust.IsSPIFFE(s.GetIssuer()) {
		parse, types = jose.ParseBundle, []string{"", "JOSE"}
	}
	keys, err := parse("jwks", s.GetJwks())
	if err != nil {
		return trust.Claims{}, notGood() // made when other keys were taken
	}
	for _, typ := range types {
		payload, err := jose.Verify(assertion, keys, jose.Expect{Type: typ, Algorithms: workloadAlgorithms})
		if err != nil {
			continue
		}
		var claims trust.Claims
		if jose.Claims(payload, &claims) != nil {
			break
		}
		return claims, nil
	}
	return trust.Claims{}, notGood()
}

func hasAny(form url.Values, names ...string) bool {
	for _, name := range names {
		if form.Get(name) != "" {
			return true
		}
	}
	return false
}

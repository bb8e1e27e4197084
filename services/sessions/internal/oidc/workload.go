package oidc

import (
	"context"
	"errors"
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
	"github.com/meridian-iam/meridian/services/sessions/internal/issuerkeys"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
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
	claims, err := p.vouched(r.Context(), t, assertion)
	if err != nil {
		return tokens{}, err
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
	party.Found(ctx, party.Party{ID: t.ID, Organization: t.Organization})
	return t, err
}

// vouched is what one of the keys of a trust's issuer signed, and is about one of the
// trust's workloads. Keys are fetched for what is right but for its signature, so that
// nobody has others called who does not know whom a trust is about. What is wrong with
// the claims is said to whoever has them signed.
//
// Source: RFC 7523 section 3.
func (p *Provider) vouched(ctx context.Context, t store.Trust, assertion string) (trust.Claims, error) {
	s, err := read(t.Settings, assertion)
	if err != nil {
		return trust.Claims{}, notGood()
	}
	wrong := trust.Wrong(t.Settings, s.claims, p.Clock())
	keys, err := p.keysOf(ctx, t, s.kid, wrong == "")
	if err != nil {
		return trust.Claims{}, err
	}
	if _, err := jose.Verify(assertion, keys, s.want); err != nil {
		return trust.Claims{}, notGood()
	}
	if wrong != "" {
		return trust.Claims{}, answer.Refuse(answer.InvalidGrant, "the assertion is refused: "+wrong)
	}
	return s.claims, nil
}

// presented is what a workload shows, which nobody has verified.
type presented struct {
	kid    string
	claims trust.Claims
	// want is what it is to be verified as.
	want jose.Expect
}

// read reads what a workload shows.
//
// Source: JWT-SVID section 2 (typ is JWT or JOSE, or absent).
func read(s *eventv1.TrustSettings, assertion string) (presented, error) {
	out := presented{want: jose.Expect{Algorithms: workloadAlgorithms}}
	kid, payload, err := jose.Unverified(assertion, out.want)
	if errors.Is(err, jose.ErrType) && trust.IsSPIFFE(s.GetIssuer()) {
		out.want.Type = "JOSE"
		kid, payload, err = jose.Unverified(assertion, out.want)
	}
	if err != nil {
		return out, err
	}
	out.kid = kid
	return out, jose.Claims(payload, &out.claims)
}

// keysOf are the keys of a trust's issuer, for a token that names one; those that are
// kept, unless they may be fetched.
func (p *Provider) keysOf(ctx context.Context, t store.Trust, kid string, fetch bool) (jose.Keys, error) {
	source, abroad := trust.SourceOf(t.Settings)
	switch {
	case !abroad:
		keys, err := issuerkeys.Inline("jwks", t.Settings)
		if err != nil {
			return keys, notGood() // made when other keys were taken
		}
		return keys, nil
	case !fetch:
		return p.IssuerKeys.Kept(source), nil
	}
	keys, err := p.IssuerKeys.Get(ctx, t.Organization, source, kid)
	if errors.Is(err, issuerkeys.ErrUnavailable) {
		return keys, &answer.Error{Status: http.StatusServiceUnavailable, Code: answer.Unavailable, Description: err.Error()}
	}
	return keys, err
}

func hasAny(form url.Values, names ...string) bool {
	for _, name := range names {
		if form.Get(name) != "" {
			return true
		}
	}
	return false
}

package principal

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// AllScopes is the scope of an access token that may call every procedure.
	AllScopes = "meridian"
	// scopePrefix is how the scopes begin that name services and procedures.
	scopePrefix = "meridian."
	// maxScopes is how many of them count: those after only would allow more.
	maxScopes = 50
)

// subjected says whether an access token is what it calls with.
func (p Principal) subjected() bool { return p.Kind == User || p.Kind == ServiceAccount }

// LooksLikeAccessToken says whether a bearer says of itself that it is an access token.
// What is said is not believed: it says who is to verify it.
//
// Source: RFC 9068 section 2.1.
func LooksLikeAccessToken(bearer secret.String) bool {
	if !LooksMinted(bearer) {
		return false
	}
	head, _, _ := strings.Cut(bearer.Reveal(), ".")
	decoded, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		Type string `json:"typ"`
	}
	return err == nil && json.Unmarshal(decoded, &header) == nil &&
		strings.TrimPrefix(strings.ToLower(header.Type), "application/") == "at+jwt"
}

// OfAccessToken is who calls with an access token that was verified.
//
// Errors: TOKEN_REJECTED for a token with a confirmation, which whoever had it proved has
// taken away, and for one that names nobody; ACCESS_DENIED for that of a client itself.
func OfAccessToken(c accesstoken.Claims) (Principal, error) {
	if c.Confirmation != nil || c.Organization != "" && !id.Valid(id.Organization, c.Organization) || c.Client == "" {
		return Principal{}, rejected().Because(accesstoken.ErrOver)
	}
	p := Principal{
		ID: c.Subject, Organization: c.Organization, Scopes: scopesOf(c.Scope), By: c.Client, Expires: time.Unix(c.Expires, 0),
	}
	if c.Actor != nil {
		p.By = c.Actor.Subject
	}
	switch {
	case id.Valid(id.User, c.Subject):
		p.Kind = User
	case id.Valid(id.ServiceAccount, c.Subject):
		p.Kind = ServiceAccount
	case id.Valid(id.Client, c.Subject):
		return Principal{}, denied("a client has no rights of its own: give it a service account")
	default:
		return Principal{}, rejected().Because(accesstoken.ErrOver)
	}
	return p, nil
}

// scopesOf are the scopes that say something here: AllScopes, or names of services and
// procedures. Fewer scopes never say more.
func scopesOf(scope string) (limits []string) {
	for s := range strings.SplitSeq(scope, " ") {
		if s == AllScopes {
			return []string{AllScopes}
		}
		if strings.HasPrefix(s, scopePrefix) && len(limits) < maxScopes {
			limits = append(limits, s)
		}
	}
	return limits
}

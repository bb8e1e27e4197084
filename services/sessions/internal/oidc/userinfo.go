package oidc

import (
	"net/http"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
)

// userInfo is what a client learns of a person.
//
// Source: OpenID Connect Core 1.0 sections 5.1, 5.3 and 5.4.
type userInfo struct {
	Subject  string `json:"sub"`
	Name     string `json:"name,omitempty"`
	Locale   string `json:"locale,omitempty"`
	Email    string `json:"email,omitempty"`
	Verified *bool  `json:"email_verified,omitempty"`
}

// userinfo says who a person is, as far as the token's scopes go, as of now.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request, issuer string) error {
	claims, err := p.bearer(w, r, issuer)
	if err != nil {
		return err
	}
	scopes := strings.Fields(claims.Scope)
	if !slices.Contains(scopes, "openid") || !id.Valid(id.User, claims.Subject) {
		return &answer.Error{
			Status: http.StatusForbidden, Code: "insufficient_scope", Description: "the token has no scope openid",
			Challenge: `Bearer error="insufficient_scope", scope="openid"`,
		}
	}
	user, err := p.People.User(r.Context(), claims.Subject)
	if e, told := asAnswer(err); told {
		return unauthorized(e.Description)
	}
	if err != nil {
		return err
	}
	out := userInfo{Subject: claims.Subject}
	if slices.Contains(scopes, "profile") {
		out.Name, out.Locale = user.GetName(), user.GetLocale()
	}
	if slices.Contains(scopes, "email") && user.GetEmail() != "" {
		verified := user.GetEmailVerified()
		out.Email, out.Verified = user.GetEmail(), &verified
	}
	return answer.JSON(w, http.StatusOK, out)
}

// unauthorized refuses a token.
//
// Source: RFC 6750 section 3.
func unauthorized(description string) *answer.Error {
	return &answer.Error{
		Status: http.StatusUnauthorized, Code: answer.InvalidToken, Description: description,
		Challenge: `Bearer error="` + answer.InvalidToken + `", error_description="` + description + `"`,
	}
}

// bearer is what the access token of a request says. A token that is bound to a key
// comes with a proof of it.
//
// Source: RFC 6750 section 2; RFC 9449 section 7.
func (p *Provider) bearer(w http.ResponseWriter, r *http.Request, issuer string) (accesstoken.Claims, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return accesstoken.Claims{}, &answer.Error{
			Status: http.StatusUnauthorized, Code: answer.InvalidToken, Description: "send an access token in the header Authorization", Challenge: "Bearer",
		}
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || text == "" || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") {
		return accesstoken.Claims{}, unauthorized("want one header Authorization: Bearer and a token")
	}
	token := secret.NewString(text)
	claims, err := p.Tokens.Verify(token)
	if f, ok := fault.As(err); ok && f.Kind == fault.Unauthenticated {
		return claims, unauthorized("the token is unknown, expired or revoked")
	}
	switch {
	case err != nil:
		return claims, err
	case claims.Issuer != issuer:
		return claims, unauthorized("the token is another issuer's")
	}
	return claims, p.proves(w, r, scheme, token, claims)
}

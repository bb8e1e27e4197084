package client

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// Lives in seconds where settings say nothing.
const (
	accessTokenSeconds     = 300
	refreshIdleSeconds     = 14 * 24 * 3600
	refreshAbsoluteSeconds = 90 * 24 * 3600
	refreshGraceSeconds    = 10
)

// Complete returns settings with all that they leave to us, if they are those of a
// client that can be: each field is in its bounds, by the contract. Of JWK Sets the
// caller knows more.
//
// Errors: INVALID_FIELD (settings.…, and the rule).
//
// Source: OAuth 2.1 sections 2.1, 2.3 and 4.2; RFC 7591 section 2.
func Complete(given *eventv1.ClientSettings, organization string) (*eventv1.ClientSettings, error) {
	s := proto.CloneOf(given)
	if s.Name = strings.TrimSpace(s.GetName()); s.GetName() == "" {
		return nil, fault.Field("settings.name", "required", "is what people read")
	}
	fill(&s.AccessTokenSeconds, accessTokenSeconds)
	fill(&s.RefreshAbsoluteSeconds, max(refreshAbsoluteSeconds, s.GetRefreshIdleSeconds()))
	fill(&s.RefreshIdleSeconds, min(refreshIdleSeconds, s.GetRefreshAbsoluteSeconds()))
	if s.RefreshGraceSeconds == nil {
		s.RefreshGraceSeconds = proto.Uint32(refreshGraceSeconds)
	}
	if s.GetRefreshLifetime() == 0 {
		s.RefreshLifetime = int32(sessionsv1.RefreshLifetime_REFRESH_LIFETIME_SESSION)
	}
	if s.GetIdTokenAlgorithm() == "" {
		s.IdTokenAlgorithm = "ES256"
	}
	if err := uris(s); err != nil {
		return nil, err
	}
	return s, together(s, organization)
}

func fill(field *uint32, standard uint32) {
	if *field == 0 {
		*field = standard
	}
}

// uris holds each URI to its rules.
func uris(s *eventv1.ClientSettings) error {
	for _, list := range []struct {
		field string
		uris  []string
		rule  func(string) string
	}{
		{"redirect_uris", s.GetRedirectUris(), uri.RedirectRule},
		{"post_logout_redirect_uris", s.GetPostLogoutRedirectUris(), uri.RedirectRule},
		{"resources", s.GetResources(), uri.ResourceRule},
	} {
		for i, u := range list.uris {
			if rule := list.rule(u); rule != "" {
				return fault.Field(fmt.Sprintf("settings.%s[%d]", list.field, i), rule, "is not such a URI")
			}
		}
	}
	if u := s.GetBackchannelLogoutUri(); u != "" {
		if rule := uri.LogoutRule(u); rule != "" {
			return fault.Field("settings.backchannel_logout_uri", rule, "is not such a URI")
		}
	}
	return nil
}

// together holds the settings to the rules between them.
func together(s *eventv1.ClientSettings, organization string) error {
	has := func(grant sessionsv1.GrantType) bool { return slices.Contains(s.GetGrantTypes(), int32(grant)) }
	method := sessionsv1.ClientAuthentication(s.GetAuthentication())
	codes := has(sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE)
	signs := method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT ||
		method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SELF_SIGNED_TLS
	switch {
	case codes && len(s.GetRedirectUris()) == 0:
		return fault.Field("settings.redirect_uris", "required", "authorization codes need one")
	case !codes && len(s.GetRedirectUris()) > 0:
		return fault.Field("settings.redirect_uris", "unused", "are for authorization codes only")
	case has(sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN) && !codes && !has(sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE):
		return fault.Field("settings.grant_types", "refresh_token", "refresh tokens come with authorization or device codes")
	case has(sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS) && method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE:
		return fault.Field("settings.grant_types", "client_credentials", "a public client has none")
	case has(sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE) && method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE:
		return fault.Field("settings.grant_types", "token_exchange", "a public client cannot prove who acts")
	case has(sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE) && len(s.GetResources()) == 0:
		return fault.Field("settings.resources", "token_exchange", "a client without resources is sent no token to exchange")
	case signs != (s.GetJwks() != ""):
		return fault.Field("settings.jwks", "private_key_jwt", "goes with private_key_jwt and self_signed_tls, and only with them")
	case s.GetServiceAccount() != "" && (organization == "" || !has(sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS)):
		return fault.Field("settings.service_account", "client_credentials", "is for client_credentials of an organization's client")
	case s.GetRefreshIdleSeconds() > s.GetRefreshAbsoluteSeconds():
		return fault.Field("settings.refresh_idle_seconds", "absolute", "must not be more than refresh_absolute_seconds")
	}
	if issued := method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_TLS; issued != (s.GetCertificateSubject() != "") {
		return fault.Field("settings.certificate_subject", "tls", "goes with tls, and only with it")
	} else if issued {
		if _, err := ParseSubject(s.GetCertificateSubject()); err != nil {
			return err
		}
	}
	return logouts(s, organization, codes || has(sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE))
}

// logouts holds the settings to the rules about being told of logouts. What runs on this
// machine is the platform's: no organization sends requests to it.
func logouts(s *eventv1.ClientSettings, organization string, people bool) error {
	to := s.GetBackchannelLogoutUri()
	switch {
	case to == "" && s.GetBackchannelLogoutSessionRequired():
		return fault.Field("settings.backchannel_logout_session_required", "unused", "is for clients with a backchannel_logout_uri")
	case to != "" && !people:
		return fault.Field("settings.backchannel_logout_uri", "unused", "is for clients that people sign in to")
	case to != "" && organization != "" && uri.Loopback(to):
		return fault.Field("settings.backchannel_logout_uri", "loopback", "names this machine, which is for clients of the platform")
	}
	return nil
}

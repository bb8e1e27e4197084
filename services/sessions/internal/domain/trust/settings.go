package trust

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// spiffe is how trust domains and the names of their workloads begin.
const spiffe = "spiffe://"

// maxTrustDomain and maxSPIFFE bound a trust domain and a SPIFFE ID, in bytes.
//
// Source: SPIFFE-ID sections 2.1 and 2.3.
const (
	maxTrustDomain = 255
	maxSPIFFE      = 2048
)

// people are the scopes of what only people have.
var people = []string{"openid", "profile", "email", "offline_access"}

// IsSPIFFE says whether an issuer is a SPIFFE trust domain.
func IsSPIFFE(issuer string) bool { return strings.HasPrefix(issuer, spiffe) }

// Complete returns settings, if they are those of a trust that can be: each field is in
// its bounds, by the contract. Of keys the caller knows more.
//
// Errors: INVALID_FIELD (settings.…, and the rule).
func Complete(given *eventv1.TrustSettings) (*eventv1.TrustSettings, error) {
	if given == nil {
		return nil, fault.Field("settings", "required", "are missing")
	}
	s := proto.CloneOf(given)
	if s.Name = strings.TrimSpace(s.GetName()); s.GetName() == "" {
		return nil, fault.Field("settings.name", "required", "is what people read")
	}
	if rule := issuerRule(s.GetIssuer()); rule != "" {
		return nil, fault.Field("settings.issuer", rule, "must be https://… without query and fragment, or spiffe:// and a trust domain")
	}
	if rule := subjectRule(s.GetIssuer(), s.GetSubject()); rule != "" {
		return nil, fault.Field("settings.subject", rule, "must be one subject of the issuer, or some parts of one that end with / or : and a * after them")
	}
	if err := keysRule(s); err != nil {
		return nil, err
	}
	switch {
	case s.GetAudience() == "":
		return nil, fault.Field("settings.audience", "required", "is what the issuer's tokens must be for")
	case s.GetServiceAccount() == "":
		return nil, fault.Field("settings.service_account", "required", "is whom tokens are for")
	}
	for i, scope := range s.GetMaxScopes() {
		if slices.Contains(people, scope) {
			return nil, fault.Field(fmt.Sprintf("settings.max_scopes[%d]", i), "people", "is about people")
		}
	}
	for i, resource := range s.GetResources() {
		if rule := uri.ResourceRule(resource); rule != "" {
			return nil, fault.Field(fmt.Sprintf("settings.resources[%d]", i), rule, "is not such a URI")
		}
	}
	return s, nil
}

// issuerRule is the rule that an issuer breaks, or "". Its name must be one that nobody
// else can have, also where nothing is fetched from it.
func issuerRule(issuer string) string {
	if domain, ok := strings.CutPrefix(issuer, spiffe); ok {
		if domain == "" || len(domain) > maxTrustDomain || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
			return "trust_domain"
		}
		return ""
	}
	switch {
	case !strings.HasPrefix(issuer, "https://") || uri.RedirectRule(issuer) != "":
		return "https"
	case strings.Contains(issuer, "?"):
		return "query"
	}
	return ""
}

// subjectRule is the rule that a subject of an issuer breaks, or "". A * stands for whole
// parts, and not for all workloads of an issuer that others may use too: repo:example*
// would be everybody whose name begins so, and repo:* everybody.
func subjectRule(issuer, subject string) string {
	prefix, open := strings.CutSuffix(subject, "*")
	switch {
	case prefix == "":
		return "required"
	case strings.Contains(prefix, "*"):
		return "one_star"
	case open && !strings.HasSuffix(prefix, "/") && !strings.HasSuffix(prefix, ":"):
		return "whole_parts"
	case IsSPIFFE(issuer):
		path, ok := strings.CutPrefix(prefix, issuer+"/")
		if !ok || !open && !spiffePath(path) || open && path != "" && !spiffePath(strings.TrimSuffix(path, "/")) {
			return "trust_domain"
		}
		return ""
	case open && len(strings.FieldsFunc(prefix, func(r rune) bool { return r == '/' || r == ':' })) < 2:
		return "too_many"
	}
	return ""
}

// spiffePath says whether a path without its first slash is one of a SPIFFE ID: there is
// one way to write each.
//
// Source: SPIFFE-ID section 2.2.
func spiffePath(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
		for i := range len(part) {
			c := part[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

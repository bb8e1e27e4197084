package uri

import (
	"net/url"
	"strings"
)

// maxDocument is the size of the longest URL of a client's document, in bytes.
const maxDocument = 500

// DocumentRule is the rule that the URL of a client's document breaks, or "". It is the
// client's id, and compared as it is written; so nothing is taken that could be written
// in two ways for people, and no query, by which one document would be many clients.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Client Identifier URL.
func DocumentRule(uri string) string {
	if len(uri) > maxDocument {
		return "length"
	}
	u, rule := plainURI(uri)
	switch {
	case rule != "":
		return rule
	case u.Scheme != "https":
		return "https"
	case hostRule(u) != "":
		return hostRule(u)
	case strings.HasPrefix(u.Port(), "0"):
		return "port"
	case u.RawQuery != "" || u.ForceQuery:
		return "query"
	case !strings.HasPrefix(u.EscapedPath(), "/"):
		return "path"
	}
	return ""
}

// DocumentName is the name of the host of such a URL, whatever its port; "" for no such
// URL.
func DocumentName(uri string) string {
	if DocumentRule(uri) != "" {
		return ""
	}
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// DocumentHost is the host of such a URL, with its port where it names one; "" for no
// such URL.
func DocumentHost(uri string) string {
	if DocumentRule(uri) != "" {
		return ""
	}
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Host
}

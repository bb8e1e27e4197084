// Package uri knows which URIs clients may register, and which of them a request names.
package uri

import (
	"net/url"
	"strconv"
	"strings"
)

// MatchesRedirect says whether a redirect URI of a request is one of those that are
// registered: the same characters, but for the port of a loopback address, which an
// application on somebody's machine cannot know before.
//
// Source: OAuth 2.1 sections 2.3.1 and 8.4.2; RFC 9700 section 2.1; RFC 8252 section 7.3.
func MatchesRedirect(registered []string, given string) bool {
	without, loopback := withoutPort(given)
	for _, uri := range registered {
		if uri == given {
			return true
		}
		if own, also := withoutPort(uri); loopback && also && own == without {
			return true
		}
	}
	return false
}

// withoutPort is a URI on a loopback address without its port; false for any other,
// localhost included, which names whatever the machine says.
func withoutPort(uri string) (string, bool) {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, ok := strings.CutPrefix(uri, host)
		if !ok {
			continue
		}
		port, ok := strings.CutPrefix(rest, ":")
		if !ok {
			return uri, rest == "" || strings.HasPrefix(rest, "/")
		}
		path := strings.TrimLeft(port, "0123456789")
		digits := len(port) - len(path)
		if digits < 1 || digits > 5 || path != "" && path[0] != '/' {
			return "", false
		}
		return host + path, true
	}
	return "", false
}

// RedirectRule is the rule that a redirect URI breaks, or "".
//
// Source: RFC 6749 section 3.1.2; OAuth 2.1 section 2.3; RFC 8252 sections 7.1 to 7.3 and
// 8.3; RFC 9700 section 4.1.
func RedirectRule(uri string) string {
	u, rule := plainURI(uri)
	if rule != "" {
		return rule
	}
	switch {
	case u.Scheme == "https":
		return hostRule(u)
	case u.Scheme == "http" && local(u.Hostname()):
		return hostRule(u)
	case u.Scheme == "http":
		return "https"
	case !strings.Contains(u.Scheme, ".") || u.Opaque != "":
		return "scheme" // javascript, data, file, and those that any application may take
	default:
		return ""
	}
}

// LogoutRule is the rule that a back-channel logout URI breaks, or "". What it names is
// called from here, so nothing but https goes over a network.
//
// Source: OpenID Connect Back-Channel Logout 1.0 section 2.2.
func LogoutRule(uri string) string {
	u, rule := plainURI(uri)
	switch {
	case rule != "":
		return rule
	case u.Scheme == "https", u.Scheme == "http" && local(u.Hostname()):
		return hostRule(u)
	case u.Scheme == "http":
		return "https"
	default:
		return "scheme"
	}
}

// Loopback says whether a URI names this machine.
func Loopback(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && local(u.Hostname())
}

// ResourceRule is the rule that the name of an API breaks, or "".
//
// Source: RFC 8707 section 2.
func ResourceRule(uri string) string {
	u, rule := plainURI(uri)
	switch {
	case rule != "":
		return rule
	case u.Scheme == "https", u.Scheme == "http" && local(u.Hostname()):
		return hostRule(u)
	case u.Scheme == "urn" && u.Opaque != "":
		return ""
	default:
		return "scheme"
	}
}

// plainURI parses a URI that is absolute, has nothing that programs read differently,
// and no part that is not sent.
func plainURI(uri string) (*url.URL, string) {
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}*", c) >= 0 {
			return nil, "characters"
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs() || u.Scheme != strings.SplitN(uri, ":", 2)[0]:
		return nil, "absolute"
	case strings.Contains(uri, "#"):
		return nil, "fragment"
	case u.User != nil:
		return nil, "userinfo"
	case strings.Contains(strings.ToLower(u.EscapedPath()), "%2e") || dots(u.Path):
		return nil, "dots"
	}
	return u, ""
}

// dots says whether a path has a part that leads elsewhere.
func dots(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// hostRule is the rule that the host of a URI breaks, or "".
func hostRule(u *url.URL) string {
	host := u.Hostname()
	switch {
	case host == "" || u.Opaque != "":
		return "host"
	case host != strings.ToLower(host) || strings.HasSuffix(host, ".") || strings.Contains(host, "%"):
		return "host"
	case strings.HasSuffix(u.Host, ":"):
		return "port"
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "port"
		}
	}
	return ""
}

// Host is the host of a redirect URI that may be registered, without its port, or "".
func Host(uri string) string {
	if u, rule := plainURI(uri); rule == "" && RedirectRule(uri) == "" {
		return u.Hostname()
	}
	return ""
}

// local says whether a host is this machine, by one of the names that are taken for it.
func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

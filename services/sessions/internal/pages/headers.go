package pages

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// setHeaders says what browsers may do with a page.
//
// no-referrer makes browsers send "Origin: null" with the forms of the page; that they
// are its own, Sec-Fetch-Site says, which http.CrossOriginProtection asks first.
//
// Source: RFC 9700 sections 4.2.4 and 4.16; Content Security Policy Level 3.
func setHeaders(h http.Header, s sheet) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(s.Locale))
	h.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "connect-src 'self'",
		strings.Join(append([]string{"form-action 'self'"}, s.targets...), " "), "frame-ancestors 'none'", "base-uri 'none'",
	}, "; "))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self)")
	h.Add("Vary", "Accept-Language")
}

var (
	// hostSource is a host, as policies can have them, with a port or not: lower case, no
	// wildcard.
	hostSource = regexp.MustCompile(`^[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?(?::[0-9]{1,5})?$`)
	// loopbackSource is this machine.
	loopbackSource = regexp.MustCompile(`^(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?$`)
	// schemeSource is a private-use scheme, which has a dot: none that browsers know.
	schemeSource = regexp.MustCompile(`^[a-z][a-z0-9+-]{0,62}(?:\.[a-z0-9+-]{1,63}){1,10}:$`)
)

// maxTargets bounds a policy.
const maxTargets = 20

// sources are targets as a policy has them, each once. What is no target is left out.
//
// Browsers ask form-action for each redirect that follows a form, too.
//
// Source: Content Security Policy Level 3, sections 2.3.1 and 6.4.1; RFC 8252 section 7.
func sources(targets []string) []string {
	var out []string
	for _, t := range targets {
		source, ok := source(t)
		if ok && !slices.Contains(out, source) && len(out) < maxTargets {
			out = append(out, source)
		}
	}
	return out
}

// source is a target as a policy has it; false for what is no target.
func source(target string) (string, bool) {
	if host, ok := strings.CutPrefix(target, "https://"); ok {
		return target, hostSource.MatchString(host)
	}
	if host, ok := strings.CutPrefix(target, "http://"); ok {
		if strings.HasPrefix(host, "[") && loopbackSource.MatchString(host) {
			return "http:", true // a policy has no words for an address of IPv6
		}
		return target, loopbackSource.MatchString(host)
	}
	return target, schemeSource.MatchString(target)
}

// targetOf is the target that a URI leads to; false when it leads to none.
func targetOf(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil {
		return "", false
	}
	target := u.Scheme + ":"
	if u.Scheme == "https" || u.Scheme == "http" {
		target = u.Scheme + "://" + u.Host
	}
	_, ok := source(target)
	return target, ok
}

// destination is where an answer goes, as people are told.
type destination struct {
	// Host is a host, or a private-use scheme; "": nothing that can be shown.
	Host string
	// Device: any program on the person's device may have it.
	Device bool
}

// destinationOf is where an answer to a URI goes. International names stay as they are
// registered, as xn--…, so that none looks like another.
//
// Source: RFC 8252 sections 8.6 and 8.11.
func destinationOf(uri string) destination {
	u, err := url.Parse(uri)
	switch {
	case err != nil || uri == "":
		return destination{}
	case u.Scheme == "https":
		return destination{Host: u.Host}
	case u.Scheme == "http":
		return destination{Host: u.Host, Device: true}
	default:
		return destination{Host: u.Scheme, Device: true}
	}
}

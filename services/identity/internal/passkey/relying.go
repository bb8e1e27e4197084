package passkey

import (
	"crypto/x509"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"golang.org/x/net/publicsuffix"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Relying is a relying party.
type Relying struct {
	// ID is the domain that credentials are bound to, for ever.
	ID string
	// Name is shown by clients; it is not empty.
	Name string
	// Origins are where its pages are: each is https (or http on localhost), on
	// the ID or a domain below it, written as browsers write it. The origin of an
	// application (android:apk-key-hash:…, ios:bundle-id:…) is one as well.
	Origins []string
	// RelatedOrigins are https origins of other domains that may use the ID's
	// credentials. Browsers ask WellKnown whether they may, and read at most five
	// different names in it.
	RelatedOrigins []string
	// CrossOrigin accepts ceremonies in frames whose pages are of other origins.
	CrossOrigin bool
	// TopOrigins are the origins of those pages, for clients that tell it.
	TopOrigins []string
	// Roots are the certificates that direct attestation must chain to. If absent,
	// a statement is verified but trusted by nobody: Credential.Trusted is false.
	Roots *x509.CertPool
}

// Validate says what is wrong with the relying party. Begin… do it, too.
//
// Errors: INVALID_FIELD.
func (r Relying) Validate() error {
	if err := protocol.ValidateRPID(r.ID); err != nil || r.ID != strings.ToLower(r.ID) {
		return fault.Field("relying.id", "domain", "not a domain in lower case")
	}
	if suffix, _ := publicsuffix.PublicSuffix(r.ID); suffix == r.ID && r.ID != "localhost" {
		return fault.Field("relying.id", "public_suffix", "a domain below which anyone may register")
	}
	if r.Name == "" {
		return fault.Field("relying.name", "min_len", "empty")
	}
	if len(r.Origins) == 0 {
		return fault.Field("relying.origins", "min_items", "no origin would be accepted")
	}
	for _, o := range r.Origins {
		if !protocol.IsKnownOpaqueOrigin(o) && !r.own(o) {
			return fault.Field("relying.origins", "origin", "not an origin on the relying party's domain")
		}
	}
	for _, o := range r.RelatedOrigins {
		if u := origin(o); u == nil || u.Scheme != "https" || r.own(o) {
			return fault.Field("relying.related_origins", "origin", "not an https origin of another domain")
		}
	}
	if len(r.RelatedOrigins) > 0 {
		if _, err := protocol.NewRelatedOriginsWithLabeler(label, r.RelatedOrigins...); err != nil {
			return fault.Field("relying.related_origins", "labels", "more names than browsers read")
		}
	}
	if len(r.TopOrigins) > 0 && !r.CrossOrigin {
		return fault.Field("relying.top_origins", "cross_origin", "named, but ceremonies in frames are not accepted")
	}
	for _, o := range r.TopOrigins {
		if origin(o) == nil {
			return fault.Field("relying.top_origins", "origin", "not an origin")
		}
	}
	return nil
}

// WellKnown returns the document at https://<ID>/.well-known/webauthn, of type
// application/json, or nil if there are no related origins: then there is no
// such document.
//
// Source: Web Authentication Level 3, section 5.11.
func (r Relying) WellKnown() []byte {
	if len(r.RelatedOrigins) == 0 {
		return nil
	}
	out, err := json.Marshal(map[string][]string{"origins": r.RelatedOrigins})
	if err != nil {
		return nil
	}
	return out
}

// accepts says whether a client may be at the origin. Origins are compared
// byte by byte: browsers write them in one way only.
func (r Relying) accepts(at string) bool {
	return slices.Contains(r.Origins, at) || slices.Contains(r.RelatedOrigins, at)
}

// own says whether an origin is on the relying party's domain.
func (r Relying) own(text string) bool {
	u := origin(text)
	return u != nil && (u.Hostname() == r.ID || strings.HasSuffix(u.Hostname(), "."+r.ID))
}

// origin parses an origin that is written as browsers write it, or returns nil.
func origin(text string) *url.URL {
	related, err := protocol.NewRelatedOrigins(text)
	if err != nil || len(related.Origins) != 1 || related.Origins[0] != text || text != strings.ToLower(text) {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil
	}
	host := u.Hostname()
	if u.Scheme == "http" && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return nil
	}
	return u
}

// label is the name that browsers count: that before the public suffix.
func label(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(domain, ".")
	return name, nil
}

package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// The cookies. Their prefix makes browsers refuse them from other hosts, and without
// Secure.
//
// Source: RFC 6265bis section 4.1.3.2.
const (
	// sessionCookie holds a session's id, a dot and its secret.
	sessionCookie = "__Host-meridian_session"
	// browserCookie tells browsers apart, so that a request goes on where it began.
	browserCookie = "__Host-meridian_browser"
)

// secretSize is 256 random bits.
const secretSize = 32

// randomText is a secret as text, and the hash that is kept of it.
func randomText() (text string, hash [32]byte) {
	var b [secretSize]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	text = base64.RawURLEncoding.EncodeToString(b[:])
	return text, sha256.Sum256([]byte(text))
}

// hashOf is what is kept of a text that a browser or client sends.
func hashOf(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// setCookie sets one that lives as long as said; 0: as long as the browser runs.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second),
	})
}

// forgetCookie removes one that the browser has.
func forgetCookie(w http.ResponseWriter, r *http.Request, name string) {
	if len(r.CookiesNamed(name)) > 0 {
		setCookie(w, name, "", -time.Second)
	}
}

// cookie is one that is there once.
func cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > 256 {
		return ""
	}
	return found[0].Value
}

// browser is the hash of what tells this browser apart from others; a browser that has
// nothing yet is given it.
func browser(w http.ResponseWriter, r *http.Request) []byte {
	if text := cookie(r, browserCookie); len(text) == base64.RawURLEncoding.EncodedLen(secretSize) {
		hash := hashOf(text)
		return hash[:]
	}
	text, hash := randomText()
	setCookie(w, browserCookie, text, 0)
	return hash[:]
}

// session is who is signed in in this browser; the zero one: nobody.
//
// Errors: those of the database.
func (p *Provider) session(ctx context.Context, r *http.Request) (store.Session, error) {
	name, text, ok := strings.Cut(cookie(r, sessionCookie), ".")
	if !ok || !id.Valid(id.Session, name) {
		return store.Session{}, nil
	}
	s, err := store.FindSession(ctx, p.DB.Pool(), name)
	hash := hashOf(text)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return store.Session{}, nil
	case err != nil:
		return store.Session{}, err
	case subtle.ConstantTimeCompare(hash[:], s.Hash[:]) != 1 || !s.Live(p.Lives, p.Clock()):
		return store.Session{}, nil
	}
	if now := p.now(); s.Seen(now) {
		if err := store.SeeSession(ctx, p.DB, s.ID, browserName(r), address(r), now); err != nil {
			return store.Session{}, err
		}
	}
	return s, nil
}

// now is the clock as rows keep it.
func (p *Provider) now() time.Time { return p.Clock().UTC().Truncate(time.Microsecond) }

// address is where a request comes from.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// browserName is what a browser says that it is, as Firefox on Linux; "" for what is not
// known.
func browserName(r *http.Request) string {
	agent := r.UserAgent()
	name := firstOf(agent, []pair{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	})
	system := firstOf(agent, []pair{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	switch {
	case name == "":
		return system
	case system == "":
		return name
	default:
		return name + " on " + system
	}
}

type pair struct{ mark, name string }

func firstOf(text string, pairs []pair) string {
	for _, p := range pairs {
		if strings.Contains(text, p.mark) {
			return p.name
		}
	}
	return ""
}

package door

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// authenticationCookie holds a held, in five parts with dots between them.
	authenticationCookie = "__Host-meridian_authentication"
	// passkeyCookie holds one that a page began by itself, with a passkey that says who it
	// is: it takes nothing from the one that a person began.
	passkeyCookie = "__Host-meridian_passkey"
	// deviceCookie is what identity gave this browser when somebody signed in before.
	deviceCookie = "__Host-meridian_device"
	deviceLife   = 365 * 24 * time.Hour
	// maxCookie and maxDevice bound what is looked at, in bytes.
	maxCookie = 2048
	maxDevice = 512
)

// held is the authentication that a browser has. The zero held is none.
type held struct {
	id     string
	secret secret.String
	// request is what it is for: Pending.ID.
	request string
	// way is the factor that was chosen, noPassword, or "".
	way string
	// email is the address as it was typed, which says nothing about whether somebody has
	// it; or "".
	email string
}

// heldBy reads what a browser has, whatever it is for.
func heldBy(r *http.Request) held { return heldIn(r, authenticationCookie) }

func heldIn(r *http.Request, name string) held {
	parts := strings.SplitN(cookie(r, name, maxCookie), ".", 5)
	if len(parts) != 5 || !id.Valid(id.Authentication, parts[0]) {
		return held{}
	}
	request, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return held{}
	}
	email, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil {
		return held{}
	}
	return held{id: parts[0], way: parts[1], request: string(request), email: string(email), secret: secret.NewString(parts[4])}
}

// of is what a browser has for a request: what is for another one counts for nothing.
func (h held) of(request string) held {
	if h.request != request {
		return held{}
	}
	return h
}

func (h held) cookie() string {
	return strings.Join([]string{
		h.id, h.way, base64.RawURLEncoding.EncodeToString([]byte(h.request)), base64.RawURLEncoding.EncodeToString([]byte(h.email)), h.secret.Reveal(),
	}, ".")
}

// hold gives a browser an authentication, for as long as it is open.
func (s *step) hold(h held) {
	h.request = s.pending.ID
	s.held = h
	setCookie(s.w, s.cookieName(), s.held.cookie(), 0)
}

// choose notes the way that was chosen; "": none.
func (s *step) choose(way string) {
	if h := s.held; h.way != way {
		h.way = way
		s.hold(h)
	}
}

// drop takes the authentication back.
func (s *step) drop() {
	s.held = held{}
	setCookie(s.w, s.cookieName(), "", -time.Second)
}

func (s *step) cookieName() string {
	if s.slot != "" {
		return s.slot
	}
	return authenticationCookie
}

// setCookie sets a cookie: of 0 for as long as the browser is open, of less to delete it.
//
// Source: RFC 6265bis section 4.1.3.2 (the prefix __Host-).
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// cookie is one that is there once, of a size at most.
func cookie(r *http.Request, name string, size int) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > size {
		return ""
	}
	return found[0].Value
}

// Package door leads people through signing in, signing up and recovery, step by step,
// as identity asks for it. It decides nothing: identity says what comes next, and whether
// a proof is right.
package door

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/language"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/people"
)

// Pending is what a browser signs in for.
type Pending struct {
	// ID names the request in forms and URLs; "": the account page.
	ID string
	// Client is the application, as people read it.
	Client string
	// Organization is whose policy holds, or "".
	Organization, OrganizationName string
	// Email is who the client thinks it is.
	Email   string
	Locales []string
	// StepUp is the user who must prove more, to reach ACR, and AMR what that one has
	// proved; "": whoever it is signs in.
	StepUp string
	AMR    []string
	// ACR is aal1, aal2 or "".
	ACR string
	// ProveAddress: the user must show that letters arrive, instead.
	ProveAddress bool
	// Create begins with signing up.
	Create      bool
	FormTargets []string
	Theme       pages.Theme
}

// Flow is what signing in is for.
type Flow interface {
	// Pending is the request that the browser is in, by the parameter request.
	//
	// Errors: NOT_FOUND for one that is absent, over, or another browser's.
	Pending(r *http.Request) (Pending, error)
	// SignedIn takes who has signed in, and says where the browser goes next.
	SignedIn(w http.ResponseWriter, r *http.Request, p Pending, result *identityv1.FinishAuthenticationResponse) (next string, err error)
	// NoStepUp says that the user has no way to prove more.
	NoStepUp(w http.ResponseWriter, r *http.Request, p Pending) (next string, err error)
}

// Renderer writes pages.
type Renderer interface {
	Write(w http.ResponseWriter, r *http.Request, status int, v pages.View) error
}

// Door serves the pages of signing in.
type Door struct {
	Authentications identityv1connect.AuthenticationServiceClient
	Domains         identityv1connect.DomainServiceClient
	Flow            Flow
	Pages           Renderer
}

// step is one request of a browser that is signing in.
type step struct {
	*Door

	w http.ResponseWriter
	r *http.Request
	// pending is what it is for; held the authentication that the browser has for it.
	pending Pending
	held    held
	// slot is the cookie that held is kept in; "": the usual one.
	slot string
	// status is of the page that is shown; 0: 200.
	status int
}

// Handler serves the pages. onError writes what is no answer of theirs: nothing was
// written before, but cookies.
func (d *Door) Handler(onError func(w http.ResponseWriter, r *http.Request, err error)) http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*step) error{
		"GET /sign-in":                  (*step).identifier,
		"POST /sign-in":                 (*step).identified,
		"GET /sign-in/prove":            (*step).ask,
		"POST /sign-in/prove":           (*step).prove,
		"POST /sign-in/way":             (*step).way,
		"POST /sign-in/name":            (*step).named,
		"POST /sign-in/passkey-options": (*step).passkeyOptions,
		"GET /sign-in/link":             (*step).link,
		"POST /sign-in/link":            (*step).linked,
		"GET /confirm":                  (*step).link,
		"GET /recovery":                 (*step).link,
		"GET /sign-up":                  (*step).signUp,
		"POST /sign-up":                 (*step).signedUp,
		"GET /recover":                  (*step).recovery,
		"POST /recover":                 (*step).recover,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := d.serve(w, r, serve); err != nil {
				onError(w, r, err)
			}
		})
	}
	return mux
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request, serve func(*step) error) error {
	switch r.Method {
	case http.MethodPost:
		if err := posted(w, r); err != nil {
			return err
		}
	case http.MethodHead: // a page begins a step-up, or ends what is complete: nobody looks at it
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return nil
	default:
		if err := got(r); err != nil {
			return err
		}
	}
	browser := heldBy(r)
	if slices.Contains(linkPaths, r.URL.Path) && r.Method == http.MethodGet {
		r = ofRequest(r, browser.request)
	}
	pending, err := d.Flow.Pending(r)
	if err != nil {
		return err
	}
	s := &step{Door: d, w: w, r: r, pending: pending, held: browser.of(pending.ID)}
	if r.Method == http.MethodPost && s.field("discoverable") == "yes" {
		s.slot = passkeyCookie
		s.held = heldIn(r, passkeyCookie).of(pending.ID)
	}
	return serve(s)
}

// frame is what all pages have.
func (s *step) frame() pages.Frame {
	return pages.Frame{
		Request: s.pending.ID, Client: s.pending.Client, Locales: s.pending.Locales, FormTargets: s.pending.FormTargets, Theme: s.pending.Theme,
	}
}

// show writes a page. What was wrong is said on the page that asks again, with status
// 200: the browser did what it was asked to. Only too many tries are said in the status,
// too, beside Retry-After.
func (s *step) show(v pages.View) error {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.Pages.Write(s.w, s.r, s.status, v)
}

// to sends the browser on to a page of the same request.
func (s *step) to(path string) error {
	if s.pending.ID != "" {
		path += "?request=" + url.QueryEscape(s.pending.ID)
	}
	return s.leave(path)
}

// leave sends the browser on to a path of this host, by a method without a body.
//
// Source: OAuth 2.1 section 7.5.2 (303, and not 307).
func (s *step) leave(path string) error {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(path, `/\`) {
		return fmt.Errorf("leave: the flow names no path of this host")
	}
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(s.w, s.r, path, http.StatusSeeOther)
	return nil
}

// client is where the browser is, for limits on guessing.
func (s *step) client() *identityv1.Client {
	c := &identityv1.Client{Ip: s.r.RemoteAddr, Device: cookie(s.r, deviceCookie, maxDevice)}
	if from, err := netip.ParseAddrPort(s.r.RemoteAddr); err == nil {
		c.Ip = from.Addr().Unmap().WithZone("").String()
	}
	return c
}

// localeForm is that of a locale in a call.
var localeForm = regexp.MustCompile(`^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8}){0,4}$`)

// locale is the language of letters: what the client prefers, or the browser; "" for what
// cannot be read.
func (s *step) locale() string {
	for _, locale := range s.pending.Locales {
		if localeForm.MatchString(locale) {
			return locale
		}
	}
	tags, _, err := language.ParseAcceptLanguage(s.r.Header.Get("Accept-Language"))
	if err != nil || len(tags) == 0 || !localeForm.MatchString(tags[0].String()) {
		return ""
	}
	return tags[0].String()
}

// realm is the organization whose policy holds for an address: the one of the request,
// or the one that proved the address's domain.
//
// Errors: unavailable.
func (s *step) realm(ctx context.Context, email string) (string, error) {
	if s.pending.Organization != "" {
		return s.pending.Organization, nil
	}
	return people.Realm(ctx, s.Domains, email)
}

// key is an idempotency key of one call.
func key() string { return rand.Text() }

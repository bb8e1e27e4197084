// Package pages writes the pages on which people sign in, sign out and agree, and what
// they load.
//
// Each page is a struct, a View. Its text is in the person's language, which the
// application or the browser asks for; its colour is the organization's. All pages work
// without script, but for passkeys, which need one; none has script or style of its own
// in it, so that what somebody smuggles into one does nothing.
package pages

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed templates
var templates embed.FS

// defaultProduct is the name of the product where no other is given.
const defaultProduct = "Meridian"

// Config is what pages are like where they are served.
type Config struct {
	// Product is the name that people know; "": Meridian.
	Product string
}

// Pages writes pages.
type Pages struct {
	product string
	assets  *assets
	// sets are the templates, by locale and name.
	sets map[locale]map[string]*template.Template
}

// New reads templates, texts and assets, which are part of the program.
func New(c Config) (*Pages, error) {
	if c.Product == "" {
		c.Product = defaultProduct
	}
	loaded, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	p := &Pages{product: c.Product, assets: loaded, sets: map[locale]map[string]*template.Template{}}
	for _, l := range locales {
		texts, err := loadCatalog(l)
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		p.sets[l] = map[string]*template.Template{}
		for _, v := range views {
			set, err := template.New("").Funcs(texts.functions()).ParseFS(templates, "templates/layout.tmpl", "templates/"+v.name()+".tmpl")
			if err != nil {
				return nil, fmt.Errorf("pages: %w", err)
			}
			p.sets[l][v.name()] = set
		}
	}
	return p, nil
}

// views are one of each.
var views = []View{
	Identifier{},
	SignUp{},
	Recover{},
	Factor{},
	Name{},
	LinkArrived{},
	ChooseOrganization{},
	Consent{},
	SignOut{},
	SignedOut{},
	Device{},
	Account{},
	Error{},
	FormPost{},
	Enrol{},
	AddTOTP{},
	AddPasskey{},
	RecoveryCodes{},
	NewPassword{},
	Invitation{},
}

// Write writes a page. Nothing is written when the page cannot be made.
func (p *Pages) Write(w http.ResponseWriter, r *http.Request, status int, v View) error {
	s, err := p.sheet(v)
	if err != nil {
		return fmt.Errorf("page %s: %w", v.name(), err)
	}
	s.Locale = match(append(slices.Clip(v.frame().Locales), r.Header.Get("Accept-Language"))...)
	var body bytes.Buffer
	if err := p.sets[s.Locale][v.name()].ExecuteTemplate(&body, "layout", s); err != nil {
		return fmt.Errorf("page %s: %w", v.name(), err)
	}
	setHeaders(w.Header(), s)
	w.WriteHeader(status)
	_, err = w.Write(body.Bytes())
	return err
}

// sheet is what templates show.
type sheet struct {
	View View
	// Locale is the language of the page, Product the name at its top.
	Locale  locale
	Product string
	// Style, Theme and Icon are paths; Script is one, or "".
	Style, Theme, Icon, Script string
	// Action is where a FormPost leads.
	Action template.URL
	// Destination is where the answer to a Consent goes.
	Destination destination
	// Input is how a Factor is typed in.
	Input input
	// targets are where forms may lead to, as a policy has them.
	targets []string
}

var (
	errTarget = errors.New("the action is no https, loopback or private-use URI")
	errFactor = errors.New("unknown kind of factor")
)

func (p *Pages) sheet(v View) (sheet, error) {
	f := v.frame()
	s := sheet{View: v, Product: f.Theme.Name, Style: p.assets.path("style.css"), Theme: themePath(f.Theme.Color), Icon: p.assets.path("icon.svg")}
	if s.Product == "" {
		s.Product = p.product
	}
	targets := f.FormTargets
	switch v := v.(type) {
	case Identifier:
		if v.Passkeys {
			s.Script = p.assets.path("passkey.js")
		}
	case Factor:
		typed, known := inputs[v.Kind]
		if !known {
			return sheet{}, errFactor
		}
		s.Input = typed
		if v.Kind == "passkey" {
			s.Script = p.assets.path("passkey.js")
		}
	case AddPasskey:
		if v.Enrolment != "" {
			s.Script = p.assets.path("passkey_new.js")
		}
	case Consent:
		s.Destination = destinationOf(v.RedirectURI)
	case FormPost:
		target, ok := targetOf(v.Action)
		if !ok {
			return sheet{}, errTarget
		}
		s.Action = template.URL(v.Action) //nolint:gosec // its scheme is checked above, and the template escapes the rest
		s.Script = p.assets.path("form_post.js")
		targets = append(slices.Clip(targets), target)
	}
	s.targets = sources(targets)
	return s, nil
}

// input is how a person types a proof in.
type input struct{ Type, Autocomplete, Mode string }

// inputs are those of the kinds of factors.
//
// Source: WCAG 2.2, success criterion 1.3.5; HTML, section 4.10.18.7 (autofill).
var inputs = map[string]input{
	"password":      {"password", "current-password", ""},
	"new_password":  {"password", "new-password", ""},
	"email_code":    {"text", "one-time-code", "numeric"},
	"totp":          {"text", "one-time-code", "numeric"},
	"recovery_code": {"text", "off", ""},
	"passkey":       {},
}

// Of is the path of a page of the same request.
func (s sheet) Of(path string) string {
	request := s.View.frame().Request
	switch {
	case request == "":
		return path
	case strings.Contains(path, "?"):
		return path + "&request=" + url.QueryEscape(request)
	default:
		return path + "?request=" + url.QueryEscape(request)
	}
}

// WayPath is where the form of another way leads to: it stays here.
func (s sheet) WayPath(o Other) string {
	if strings.HasPrefix(o.Path, "/") && !strings.HasPrefix(o.Path, "//") && !strings.Contains(o.Path, `\`) {
		return o.Path
	}
	return "/sign-in/way"
}

// Problem is what is wrong on the page, or "".
func (s sheet) Problem() Problem {
	switch v := s.View.(type) {
	case Identifier:
		return v.Problem
	case Recover:
		return v.Problem
	case SignUp:
		return v.Problem
	case Factor:
		return v.Problem
	case Name:
		return v.Problem
	case Device:
		return v.Problem
	default:
		return problemOf(v)
	}
}

// Invalid says whether the problem is what was typed in, as password.wrong, rather than
// how things are, as ended.
func (s sheet) Invalid() bool { return strings.Contains(string(s.Problem()), ".") }

// mistakes are codes of errors that an application's mistake causes, by the one whose
// text is shown.
var mistakes = map[string]string{
	"unsupported_response_type": "invalid_request", "invalid_scope": "invalid_request", "invalid_target": "invalid_request",
	"request_not_supported": "invalid_request", "request_uri_not_supported": "invalid_request", "registration_not_supported": "invalid_request",
	"invalid_request_uri": "invalid_request", "invalid_redirect_uri": "invalid_request", "invalid_client": "unauthorized_client",
}

// ErrorKey is the key of the texts of an Error.
func (s sheet) ErrorKey() string {
	e, _ := s.View.(Error)
	if shown, ok := mistakes[e.Code]; ok {
		return shown
	}
	return e.Code
}

package letters

import (
	"errors"
	"net/url"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Letter is one of the letters below. Those with a lifetime need one of a minute at
// least.
type Letter interface {
	name() string
	values(c Config) (values, error)
}

// values are what templates can show. Names of people and organizations come
// through shown, links through link.
type values struct {
	Locale                Locale
	Product, Subject      string
	SignIn, Link, Code    string
	Organization, Inviter string
	Lifetime              time.Duration
	At                    time.Time
}

// SignInCode is the code with which a person who asked for it signs in.
type SignInCode struct {
	Code     secret.String
	Lifetime time.Duration
}

func (SignInCode) name() string { return "sign_in_code" }

func (l SignInCode) values(Config) (values, error) {
	return values{Code: l.Code.Reveal(), Lifetime: l.Lifetime}, need(!l.Code.IsZero() && l.Lifetime >= time.Minute)
}

// SignInLink is the link by which a person who asked for it signs in.
type SignInLink struct {
	Token    secret.String
	Lifetime time.Duration
}

func (SignInLink) name() string { return "sign_in_link" }

func (l SignInLink) values(c Config) (values, error) {
	return values{Link: link(c.Pages.Link, l.Token), Lifetime: l.Lifetime}, need(!l.Token.IsZero() && l.Lifetime >= time.Minute)
}

// ConfirmAddress asks whether an address is the person's: by a link, a code, or
// both.
type ConfirmAddress struct {
	Token, Code secret.String
	Lifetime    time.Duration
}

func (ConfirmAddress) name() string { return "confirm_address" }

func (l ConfirmAddress) values(c Config) (values, error) {
	return values{Link: link(c.Pages.Confirm, l.Token), Code: l.Code.Reveal(), Lifetime: l.Lifetime},
		need((!l.Token.IsZero() || !l.Code.IsZero()) && l.Lifetime >= time.Minute)
}

// Invitation asks a person into an organization.
type Invitation struct {
	// Organization and Inviter are display names. No Inviter: a program invites.
	Organization, Inviter string
	Token                 secret.String
	Lifetime              time.Duration
}

func (Invitation) name() string { return "invitation" }

func (l Invitation) values(c Config) (values, error) {
	v := values{
		Organization: shown(l.Organization), Inviter: shown(l.Inviter),
		Link: link(c.Pages.Invitation, l.Token), Lifetime: l.Lifetime,
	}
	return v, need(v.Organization != "" && !l.Token.IsZero() && l.Lifetime >= time.Minute)
}

// PasswordChanged tells a person that the password is another one now.
type PasswordChanged struct {
	At time.Time
}

func (PasswordChanged) name() string { return "password_changed" }

func (l PasswordChanged) values(c Config) (values, error) {
	return values{Link: c.Pages.Recovery, At: l.At}, need(!l.At.IsZero())
}

// AddressInUse tells a person that somebody tried to sign up with the address. It
// is what a sign-up sends instead of ConfirmAddress when there is an account
// already, so that the page that asked looks the same.
type AddressInUse struct {
	At time.Time
}

func (AddressInUse) name() string { return "address_in_use" }

func (l AddressInUse) values(c Config) (values, error) {
	return values{Link: c.Pages.Recovery, At: l.At}, need(!l.At.IsZero())
}

// Recovery lets a person who lost the password choose another one: by a link, a
// code, or both.
type Recovery struct {
	Token, Code secret.String
	Lifetime    time.Duration
}

func (Recovery) name() string { return "recovery" }

func (l Recovery) values(c Config) (values, error) {
	return values{Link: link(c.Pages.Recovery, l.Token), Code: l.Code.Reveal(), Lifetime: l.Lifetime},
		need((!l.Token.IsZero() || !l.Code.IsZero()) && l.Lifetime >= time.Minute)
}

// link is a page with a token; no token, no link.
func link(page string, token secret.String) string {
	if token.IsZero() {
		return ""
	}
	return page + "?token=" + url.QueryEscape(token.Reveal())
}

var errIncomplete = errors.New("is not complete")

func need(complete bool) error {
	if !complete {
		return errIncomplete
	}
	return nil
}

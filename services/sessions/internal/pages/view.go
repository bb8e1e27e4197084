package pages

import (
	"net/url"
	"time"
)

// View is what a page shows: one of the structs below.
type View interface {
	// name is that of the template.
	name() string
	// frame is what all pages have.
	frame() Frame
}

// Frame is what all pages have.
type Frame struct {
	// Request names the authorization request that the page is part of: its forms carry
	// it on in the field request. "": there is none.
	Request string
	// Client is the application that asks, as people read it; "": none does.
	Client string
	// Locales are the languages that the client prefers, the best first; the browser's
	// come after them.
	Locales []string
	// FormTargets are origins, as https://app.example.com, or schemes, as com.example:,
	// that the page's forms may lead to beside this one.
	FormTargets []string
	Theme       Theme
}

func (f Frame) frame() Frame { return f }

// Theme is how an organization's pages look.
type Theme struct {
	// Name is shown in place of the product's; "": the product's.
	Name string
	// Color is six hexadecimal digits, as 2563eb; "": the product's.
	Color string
}

// Problem is what is wrong with what was sent, by its key in the catalog of texts, as
// "password.wrong"; "": nothing is.
type Problem string

// Identifier asks who somebody is.
type Identifier struct {
	Frame

	Email   string
	Problem Problem
	// Passkeys: one that says who it is may be used. The script asks for the options.
	Passkeys bool
	// SignUp: somebody may sign up.
	SignUp bool
}

// SignUp asks for the address of somebody new.
type SignUp struct {
	Frame

	Email   string
	Problem Problem
}

// Recover asks for the address of somebody who forgot a password.
type Recover struct {
	Frame

	Email   string
	Problem Problem
}

// Other is another way to prove who one is, by the key of its factor in the catalog and
// the path that the form leads to.
type Other struct{ Factor, Path string }

// Factor asks for a proof. Kind is password, email_code, totp, recovery_code, passkey or
// new_password: the name and id of the input, and the key of its texts.
type Factor struct {
	Frame

	Kind    string
	Email   string
	Problem Problem
	// Passkey is JSON for navigator.credentials.get, for a passkey.
	Passkey string
	// Resend: the code can be sent again.
	Resend bool
	Others []Other
	// Recover: a new password can be set by who forgot it.
	Recover bool
}

// Name asks somebody new what to be called.
type Name struct {
	Frame

	Problem Problem
}

// LinkArrived asks to go on after a link in a letter was opened: a program that looks at
// links ahead proves nothing.
type LinkArrived struct {
	Frame

	Token string
}

// Organization is one to choose.
type Organization struct{ ID, Name string }

// ChooseOrganization asks for which organization somebody acts.
type ChooseOrganization struct {
	Frame

	Organizations []Organization
}

// Consent asks whether a client may have what it asks for. The form posts decision,
// allow or deny.
type Consent struct {
	Frame

	// RedirectURI is where the answer goes: its host is shown.
	RedirectURI string
	Access      Access
	// Host is all that is known of a client that nobody registered: Client is what it calls
	// itself. "": somebody registered it. OnDevices: it is reached on devices only.
	Host      string
	OnDevices bool
}

// Access is what a client asks for.
type Access struct {
	// Resources are the APIs that it is for, as URIs.
	Scopes, Resources []string
	// Organization is whose tokens they are, as people read it; "": nobody's.
	Organization string
}

// SignOut asks whether somebody means it. The form posts confirm, yes, and Fields.
type SignOut struct {
	Frame

	Fields url.Values
}

// SignedOut says that nobody is signed in any more.
type SignedOut struct{ Frame }

// Device asks for the code that a device shows, then whether that is meant.
type Device struct {
	Frame

	Code    string
	Problem Problem
	// Confirm: the code is good; Client says whose it is, and Place where it was asked
	// for. Done: the device goes on by itself; Denied: it does not.
	Confirm, Done, Denied bool
	Place                 string
	Access                Access
}

// Item is something on the account page that can be ended.
type Item struct {
	ID, Name, Detail string
	// Kind is that of a credential: password, passkey, totp or recovery_codes.
	Kind string
	At   time.Time
	// Current: it is this browser's own session.
	Current bool
}

// Account shows somebody's sessions, credentials and connected applications.
type Account struct {
	Frame

	Name, Email                   string
	Sessions, Credentials, Grants []Item
}

// Error says what went wrong, and what to do.
type Error struct {
	Frame

	// Code is a key of the catalog, as invalid_request; an unknown one is shown as any
	// error is.
	Code string
	// Detail is for the developer of a client, in English; "": nothing.
	Detail string
	// Trace finds the logs.
	Trace string
}

// FormPost sends Fields to Action: by a script where there is one, and else by a button.
//
// Source: OAuth 2.0 Form Post Response Mode.
type FormPost struct {
	Frame

	Action string
	Fields url.Values
}

func (Identifier) name() string         { return "identifier" }
func (SignUp) name() string             { return "sign_up" }
func (Recover) name() string            { return "recover" }
func (Factor) name() string             { return "factor" }
func (Name) name() string               { return "name" }
func (LinkArrived) name() string        { return "link" }
func (ChooseOrganization) name() string { return "organization" }
func (Consent) name() string            { return "consent" }
func (SignOut) name() string            { return "sign_out" }
func (SignedOut) name() string          { return "signed_out" }
func (Device) name() string             { return "device" }
func (Account) name() string            { return "account" }
func (Error) name() string              { return "error" }
func (FormPost) name() string           { return "form_post" }

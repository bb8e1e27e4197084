package pages

import (
	"errors"
	"fmt"
	"strings"

	"rsc.io/qr"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Enrol asks somebody for the second factor that is needed, and that he or she does not
// have.
type Enrol struct {
	Frame

	// Password: there is one, beside which an authenticator app counts.
	Password bool
}

// AddTOTP adds an authenticator app: first it says what that is, then it shows the secret
// and asks for a code.
type AddTOTP struct {
	Frame

	Problem Problem
	// Enrolment names what was begun; "": nothing was.
	Enrolment string
	// URI is otpauth://, for the picture; Secret is for those who type it.
	URI, Secret secret.String
}

// AddPasskey adds a passkey, as AddTOTP does an app. Options is JSON for
// navigator.credentials.create.
type AddPasskey struct {
	Frame

	Problem            Problem
	Enrolment, Options string
}

// RecoveryCodes asks whether somebody means it, and then shows the codes, once.
type RecoveryCodes struct {
	Frame

	Problem Problem
	Codes   []secret.String
}

// NewPassword asks for one. Email is for the browser, which keeps it.
type NewPassword struct {
	Frame

	Email   string
	Problem Problem
}

func (Enrol) name() string         { return "enrol" }
func (AddTOTP) name() string       { return "add_totp" }
func (AddPasskey) name() string    { return "add_passkey" }
func (RecoveryCodes) name() string { return "recovery_codes" }
func (NewPassword) name() string   { return "new_password" }

// problemOf is what is wrong on a page of these, or "".
func problemOf(v View) Problem {
	switch v := v.(type) {
	case AddTOTP:
		return v.Problem
	case AddPasskey:
		return v.Problem
	case RecoveryCodes:
		return v.Problem
	case NewPassword:
		return v.Problem
	case Invitation:
		return v.Problem
	default:
		return ""
	}
}

// picture is a QR code: Size modules wide, Path the dark ones as SVG has them.
type picture struct {
	Size int
	Path string
}

// quiet is the margin of a QR code, in modules.
//
// Source: ISO/IEC 18004:2015 section 6.3.8.
const quiet = 4

// pictureOf is a text as a QR code; the zero picture for no text.
func pictureOf(text secret.String) (picture, error) {
	if text.IsZero() {
		return picture{}, nil
	}
	code, err := qr.Encode(text.Reveal(), qr.M)
	if err != nil {
		return picture{}, errors.New("qr code: the text is too long") // not err: it may have the text
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1H%dz", from+quiet, y+quiet, x-from, from+quiet)
			}
		}
	}
	return picture{Size: code.Size + 2*quiet, Path: path.String()}, nil
}

// Picture is the secret of an AddTOTP for a camera.
func (s sheet) Picture() (picture, error) {
	v, _ := s.View.(AddTOTP)
	return pictureOf(v.URI)
}

// Secret is the secret of an AddTOTP for those who type it: in groups of four.
func (s sheet) Secret() string {
	v, _ := s.View.(AddTOTP)
	var out strings.Builder
	for i, r := range v.Secret.Reveal() {
		if i > 0 && i%4 == 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Codes are those of a RecoveryCodes.
func (s sheet) Codes() []string {
	v, _ := s.View.(RecoveryCodes)
	out := make([]string, len(v.Codes))
	for i, code := range v.Codes {
		out[i] = code.Reveal()
	}
	return out
}

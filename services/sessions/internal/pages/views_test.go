package pages_test

import (
	"net/url"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

const passkeyOptions = `{"challenge":"AAECAwQFBgcICQoLDA0ODw","rpId":"localhost","userVerification":"required","timeout":60000}`

const creationOptions = `{"challenge":"AAECAwQFBgcICQoLDA0ODw","rp":{"id":"localhost","name":"Meridian"},"user":{"id":"YWxpY2U","name":"alice","displayName":"Alice"},` +
	`"pubKeyCredParams":[{"type":"public-key","alg":-7}],"authenticatorSelection":{"residentKey":"required","userVerification":"required"},"timeout":60000}`

const otpauth = "otpauth://totp/Meridian:alice%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Meridian"

var at = time.Date(2026, time.November, 3, 14, 5, 0, 0, time.FixedZone("", 3600))

// hostile is what somebody calls an application or an organization to break a page.
const hostile = `"><script>alert(1)</script>&{client}' onload=x`

// shown is every page, in each of its states.
func shown() map[string]pages.View {
	frame := pages.Frame{Request: "req_1", Client: "Example Shop", FormTargets: []string{"https://shop.example"}}
	others := []pages.Other{{Factor: "passkey"}, {Factor: "email_code", Path: "/sign-in/way"}, {Factor: "recovery_code"}, {Factor: "telepathy"}}
	items := func(kind string) []pages.Item {
		return []pages.Item{
			{ID: kind + "_1", Name: "Firefox on Linux", Detail: "Berlin, Germany", At: at, Current: kind == "ses"},
			{ID: kind + "_2", Name: "Safari on iPhone"},
		}
	}
	return map[string]pages.View{
		"identifier":         pages.Identifier{},
		"identifier_all":     pages.Identifier{Frame: frame, Email: "alice@example.com", Passkeys: true, SignUp: true},
		"identifier_problem": pages.Identifier{Frame: frame, Email: "alice", Problem: "email.invalid", Passkeys: true},
		"identifier_theme": pages.Identifier{Frame: pages.Frame{
			Request: "req_1", Client: "Example Shop", Theme: pages.Theme{Name: "Acme", Color: "FFCC00"},
		}, SignUp: true},
		"identifier_hostile": pages.Identifier{Frame: pages.Frame{
			Request: hostile, Client: hostile, Theme: pages.Theme{Name: hostile, Color: hostile}, FormTargets: []string{hostile}, Locales: []string{hostile},
		}, Email: hostile, Problem: hostile, Passkeys: true},
		"sign_up":              pages.SignUp{Frame: frame},
		"sign_up_problem":      pages.SignUp{Frame: frame, Email: "alice", Problem: "email.invalid"},
		"factor_hostile":       pages.Factor{Frame: frame, Kind: "passkey", Email: hostile, Problem: hostile, Passkey: hostile, Others: []pages.Other{{Factor: hostile, Path: hostile}}},
		"recover":              pages.Recover{Frame: frame, Email: "alice@example.com"},
		"recover_problem":      pages.Recover{Frame: frame, Problem: "limited"},
		"factor_password":      pages.Factor{Frame: frame, Kind: "password", Email: "alice@example.com", Others: others, Recover: true},
		"factor_problem":       pages.Factor{Frame: frame, Kind: "password", Email: "alice@example.com", Problem: "password.wrong", Recover: true},
		"factor_ended":         pages.Factor{Frame: frame, Kind: "totp", Problem: "ended"},
		"factor_email_code":    pages.Factor{Frame: frame, Kind: "email_code", Email: "alice@example.com", Resend: true},
		"factor_totp":          pages.Factor{Frame: frame, Kind: "totp", Others: others[:1]},
		"factor_recovery_code": pages.Factor{Frame: frame, Kind: "recovery_code"},
		"factor_new_password":  pages.Factor{Frame: frame, Kind: "new_password", Email: "alice@example.com", Problem: "password.policy"},
		"factor_passkey":       pages.Factor{Frame: frame, Kind: "passkey", Passkey: passkeyOptions, Others: others[1:2]},
		"name":                 pages.Name{Frame: frame},
		"name_problem":         pages.Name{Frame: frame, Problem: "name.invalid"},
		"link":                 pages.LinkArrived{Frame: frame, Token: "the-token"},
		"organization":         pages.ChooseOrganization{Frame: frame, Organizations: []pages.Organization{{ID: "org_1", Name: "Acme"}, {ID: "org_2", Name: "شركة"}}},
		"organization_nobody":  pages.ChooseOrganization{Frame: pages.Frame{Request: "req_1"}, Organizations: []pages.Organization{{ID: "org_1", Name: hostile}}},
		"consent": pages.Consent{Frame: frame, RedirectURI: "https://shop.example/callback?secret=1", Access: pages.Access{
			Scopes: []string{"openid", "profile", "email", "offline_access", "orders:read"}, Resources: []string{"https://orders.example"}, Organization: "Acme",
		}},
		"consent_loopback":      pages.Consent{Frame: frame, RedirectURI: "http://127.0.0.1:4711/callback", Access: pages.Access{Scopes: []string{"openid"}}},
		"consent_private":       pages.Consent{Frame: pages.Frame{Request: "req_1", FormTargets: []string{"com.example.app:"}}, RedirectURI: "com.example.app:/callback", Access: pages.Access{Scopes: []string{hostile}, Resources: []string{hostile}}},
		"consent_document":      pages.Consent{Frame: frame, RedirectURI: "https://shop.example/callback", Access: pages.Access{Scopes: []string{"openid"}}, Host: "apps.shop.example:8443"},
		"consent_devices":       pages.Consent{Frame: frame, RedirectURI: "http://localhost:4711/callback", Access: pages.Access{Scopes: []string{"openid"}}, Host: "shop.example", OnDevices: true},
		"sign_out":              pages.SignOut{Frame: frame, Fields: url.Values{"state": {"1"}, "post_logout_redirect_uri": {"https://shop.example/"}}},
		"sign_out_nobody":       pages.SignOut{},
		"signed_out":            pages.SignedOut{},
		"device":                pages.Device{Frame: frame},
		"device_problem":        pages.Device{Frame: frame, Code: "WDJB-MJHT", Problem: "user_code.wrong"},
		"device_confirm":        pages.Device{Frame: frame, Code: "WDJB-MJHT", Confirm: true, Place: "Berlin, Germany", Access: pages.Access{Scopes: []string{"openid", "orders:read"}, Organization: "Acme"}},
		"device_confirm_nobody": pages.Device{Code: "WDJB-MJHT", Confirm: true, Problem: "limited"},
		"device_done":           pages.Device{Frame: frame, Done: true},
		"device_denied":         pages.Device{Frame: frame, Denied: true},
		"account": pages.Account{
			Frame: pages.Frame{Request: "req_1"}, Name: "Alice", Email: "alice@example.com", Sessions: items("ses"), Credentials: append(items("crd"), pages.Item{ID: "crd_3", Kind: "totp"}, pages.Item{ID: "crd_4", Name: "Phone", Kind: "passkey"}, pages.Item{ID: "crd_5", Kind: "else"}), Grants: items("gnt"),
		},
		"account_empty":        pages.Account{},
		"enrol":                pages.Enrol{Frame: frame, Password: true},
		"enrol_no_password":    pages.Enrol{Frame: pages.Frame{Request: "req_1"}},
		"add_totp":             pages.AddTOTP{Frame: frame},
		"add_totp_full":        pages.AddTOTP{Problem: "full"},
		"add_totp_begun":       pages.AddTOTP{Enrolment: "enr_1", URI: secret.NewString(otpauth), Secret: secret.NewString("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")},
		"add_totp_problem":     pages.AddTOTP{Frame: frame, Problem: "code.wrong", Enrolment: hostile, URI: secret.NewString(hostile), Secret: secret.NewString(hostile)},
		"add_passkey":          pages.AddPasskey{},
		"add_passkey_begun":    pages.AddPasskey{Frame: frame, Enrolment: "enr_1", Options: creationOptions},
		"add_passkey_problem":  pages.AddPasskey{Problem: "passkey.refused", Enrolment: "enr_1", Options: creationOptions},
		"recovery_codes":       pages.RecoveryCodes{},
		"recovery_codes_shown": pages.RecoveryCodes{Codes: []secret.String{secret.NewString("abcd-efgh"), secret.NewString("ijkl-mnop")}},
		"invitation":           pages.Invitation{Token: "miv_1", Organization: "Acme", Role: "member", Email: "alice@example.com"},
		"invitation_own":       pages.Invitation{Frame: pages.Frame{Theme: pages.Theme{Name: "Acme", Color: "FFCC00"}}, Token: "miv_1", Organization: "شركة", Role: "admin", Email: "alice@example.com", User: "Alice@example.com", Addressed: true},
		"invitation_another":   pages.Invitation{Token: hostile, Organization: hostile, Role: hostile, Email: hostile, User: hostile, Problem: "suspended"},
		"invitation_over":      pages.Invitation{Over: true},
		"invitation_joined":    pages.Invitation{Joined: true, Organization: "Acme"},
		"invitation_declined":  pages.Invitation{Declined: true, Organization: "Acme"},
		"new_password":         pages.NewPassword{Email: "alice@example.com"},
		"new_password_problem": pages.NewPassword{Frame: frame, Problem: "password.policy"},
		"error":                pages.Error{Frame: frame, Code: "invalid_scope", Detail: "the client may not ask for one of the scopes", Trace: "4bf92f3577b34da6a3ce929d0e0e4736"},
		"error_over":           pages.Error{Code: "request_over"},
		"error_unknown":        pages.Error{Code: hostile, Detail: hostile, Trace: hostile},
		"error_nothing":        pages.Error{},
		"form_post":            pages.FormPost{Frame: frame, Action: "https://shop.example/callback?a=1&b=2", Fields: url.Values{"code": {"c"}, "state": {hostile}, "submit": {"1", "2"}}},
	}
}

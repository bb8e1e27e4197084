package clientauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
)

// maxPresented is the size of the longest client id or secret that is looked at, and
// of the longest header, in bytes.
const maxPresented = 1024

// bearerAssertion is the one type of assertion.
//
// Source: RFC 7523 section 2.2.
const bearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// presented is what a request says of its client. Nothing of it is believed.
type presented struct {
	method    sessionsv1.ClientAuthentication
	client    string
	secret    secret.String
	assertion string
}

// presentedBy reads which client a request is of, and the one way in which it
// authenticates.
//
// A parameter without a value is one that is absent (RFC 6749 section 3.2).
func presentedBy(r *http.Request, form url.Values) (presented, error) {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if len(form[name]) > 1 {
			return presented{}, answer.Refuse(answer.InvalidRequest, name+" is there twice")
		}
	}
	p := presented{method: public, client: form.Get("client_id")}
	headers := r.Header.Values("Authorization")
	posted, asserted, kind := form.Get("client_secret"), form.Get("client_assertion"), form.Get("client_assertion_type")
	var ways []sessionsv1.ClientAuthentication
	if len(headers) > 0 {
		ways = append(ways, basic)
	}
	if posted != "" {
		ways = append(ways, post)
	}
	if asserted != "" || kind != "" {
		ways = append(ways, assertion)
	}
	switch {
	case len(ways) > 1 || len(headers) > 1:
		return presented{}, answer.Refuse(answer.InvalidRequest, "the client authenticates in two ways")
	case len(p.client) > maxPresented || len(posted) > maxPresented:
		return presented{}, refused()
	case len(ways) == 0 && p.client == "":
		return presented{}, invalidClient("the client does not say which one it is")
	case len(ways) == 1:
		p.method = ways[0]
	}
	switch p.method {
	case basic:
		return p.withHeader(headers[0])
	case assertion:
		return p.withAssertion(asserted, kind)
	default:
		p.secret = secret.NewString(posted)
		return p.named(p.client)
	}
}

// withHeader reads the header Authorization: id and secret as in a form, and then as
// RFC 7617 has it.
//
// Source: RFC 6749 section 2.3.1.
func (p presented) withHeader(header string) (presented, error) {
	scheme, credentials, _ := strings.Cut(header, " ")
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(credentials, " "))
	name, password, found := strings.Cut(string(decoded), ":")
	if !strings.EqualFold(scheme, "Basic") || len(header) > 4*maxPresented || err != nil || !found {
		return presented{}, malformed()
	}
	name, err = url.QueryUnescape(name)
	if err != nil {
		return presented{}, malformed()
	}
	password, err = url.QueryUnescape(password)
	if err != nil {
		return presented{}, malformed()
	}
	p.secret = secret.NewString(password)
	return p.named(name)
}

func malformed() *answer.Error {
	return invalidClient("the header Authorization is not Basic with an id and a secret")
}

// withAssertion reads which client an assertion is of, which is to be verified with
// that client's keys.
//
// Source: RFC 7521 section 4.2; RFC 7523 section 3.
func (p presented) withAssertion(token, kind string) (presented, error) {
	switch {
	case token == "" || kind == "":
		return presented{}, answer.Refuse(answer.InvalidRequest, "client_assertion and client_assertion_type go together")
	case kind != bearerAssertion:
		return presented{}, answer.Refuse(answer.InvalidRequest, "client_assertion_type is not that of a JWT")
	case len(token) > jose.MaxToken:
		return presented{}, invalidClient("the assertion is too long")
	}
	p.assertion = token
	parts := strings.Split(token, ".")
	if len(parts) != 3 { //nolint:mnd // a compact JWS
		return presented{}, refused()
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	var claims struct {
		Subject string `json:"sub"`
	}
	if err != nil || jose.Claims(payload, &claims) != nil {
		return presented{}, refused()
	}
	return p.named(claims.Subject)
}

// named is p, of a client that is named twice only alike.
func (p presented) named(name string) (presented, error) {
	if p.client != "" && p.client != name {
		return presented{}, answer.Refuse(answer.InvalidRequest, "client_id is another client's")
	}
	p.client = name
	return p, nil
}

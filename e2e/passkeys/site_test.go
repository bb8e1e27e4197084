package passkeys_test

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

//go:embed pages.tmpl
var texts string

var pages = template.Must(template.New("").Parse(texts))

const (
	maxBody    = 64 << 10
	callWithin = 20 * time.Second
)

// The cookies of a browser. The id of an authentication is no secret.
const (
	idCookie      = "authentication"
	secretCookie  = "secret"
	deviceCookie  = "device"
	sessionCookie = "session"
)

// site is a product's pages: it signs people in by calling Meridian, and keeps
// nothing but who is signed in.
type site struct {
	// URL is where its pages are.
	URL string

	client *meridian.Client

	mu       sync.Mutex
	sessions map[string]*identityv1.FinishAuthenticationResponse
}

// startSite serves the pages, which need a client before they are asked for.
func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{sessions: map[string]*identityv1.FinishAuthenticationResponse{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", s.signIn)
	mux.HandleFunc("POST /sign-in", s.start)
	mux.HandleFunc("POST /sign-in/again", s.again)
	mux.HandleFunc("GET /sign-in/link", s.link)
	mux.HandleFunc("POST /sign-in/continue", s.proceed)
	mux.HandleFunc("POST /sign-in/passkey/begin", answers(s.beginSignIn))
	mux.HandleFunc("POST /sign-in/passkey/finish", answers(s.finishSignIn))
	mux.HandleFunc("GET /account", s.account)
	mux.HandleFunc("POST /passkeys/begin", answers(s.beginPasskey))
	mux.HandleFunc("POST /passkeys/finish", answers(s.finishPasskey))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callWithin)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://localhost:" + at.Port()
	return s
}

// field is something that a person proves, or a page does for a person.
type field struct{ Name, Label, Value string }

// view is what pages show.
type view struct {
	Title, Reason string
	Fields        []field
	Autofill      bool
	Result        *identityv1.FinishAuthenticationResponse
}

func show(w http.ResponseWriter, page string, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if v.Reason != "" {
		w.WriteHeader(http.StatusForbidden)
	}
	_ = pages.ExecuteTemplate(w, page, v)
}

// answers serves what scripts call.
func answers(f func(http.ResponseWriter, *http.Request) (map[string]any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(w, r)
		if err != nil {
			out = map[string]any{"reason": reason(err)}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}
}

// reason is what pages show of an error.
func reason(err error) string {
	if failed, ok := meridian.AsError(err); ok {
		return failed.Reason.String()
	}
	return err.Error()
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func keep(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
}

// from is where a call of a browser comes from.
func from(r *http.Request) *identityv1.Client {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return &identityv1.Client{Ip: host, Device: cookie(r, deviceCookie)}
}

func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	show(w, "sign-in", view{Title: "Sign in", Autofill: r.FormValue("autofill") != ""})
}

// begin starts a sign-in, whose secret the browser keeps.
func (s *site) begin(w http.ResponseWriter, r *http.Request, email string) (id, secret string, err error) {
	started, err := s.client.Authentications.StartAuthentication(r.Context(), &identityv1.StartAuthenticationRequest{
		Purpose: identityv1.Purpose_PURPOSE_SIGN_IN, Email: email, Client: from(r), IdempotencyKey: rand.Text(),
	})
	if err != nil {
		return "", "", err
	}
	id, secret = started.GetAuthentication().GetId(), started.GetSecret()
	keep(w, idCookie, id)
	keep(w, secretCookie, secret)
	return id, secret, nil
}

func (s *site) request(r *http.Request, id, secret string, f identityv1.Factor) (string, error) {
	out, err := s.client.Authentications.RequestChallenge(r.Context(), &identityv1.RequestChallengeRequest{
		Authentication: id, Secret: secret, Factor: f, Client: from(r), IdempotencyKey: rand.Text(),
	})
	return out.GetPasskeyOptions(), err
}

// labels are what pages call what people type.
var labels = map[string]string{"password": "Password", "totp": "Code of your app", "email_code": "Code from the letter"}

// letters are the ways in that need one.
var letters = map[string]identityv1.Factor{
	"email_code": identityv1.Factor_FACTOR_EMAIL_CODE, "email_link": identityv1.Factor_FACTOR_EMAIL_LINK,
}

func (s *site) start(w http.ResponseWriter, r *http.Request) {
	id, secret, err := s.begin(w, r, r.FormValue("email"))
	if err != nil {
		show(w, "sign-in", view{Title: "Sign in", Reason: reason(err)})
		return
	}
	s.ask(w, r, id, secret)
}

func (s *site) again(w http.ResponseWriter, r *http.Request) {
	s.ask(w, r, cookie(r, idCookie), cookie(r, secretCookie))
}

// ask asks for the proof of the way that was chosen.
func (s *site) ask(w http.ResponseWriter, r *http.Request, id, secret string) {
	way, v := r.FormValue("way"), view{Title: "Sign in"}
	if f, letter := letters[way]; letter {
		if _, err := s.request(r, id, secret, f); err != nil {
			v.Reason = reason(err)
		}
	}
	if way == "email_link" {
		v.Title = "Look into your mail"
	} else {
		v.Fields = []field{{Name: way, Label: labels[way]}}
	}
	show(w, "step", v)
}

// link shows a button: programs that look at mail open links, too.
func (s *site) link(w http.ResponseWriter, r *http.Request) {
	show(w, "step", view{Title: "Sign in", Fields: []field{{Name: "email_link", Value: r.FormValue("token")}}})
}

// proceed takes what somebody proves in a form, and asks for what is left.
func (s *site) proceed(w http.ResponseWriter, r *http.Request) {
	req := &identityv1.ContinueAuthenticationRequest{}
	var given field
	for name, set := range map[string]func(string){
		"password":   func(p string) { req.Proof = &identityv1.ContinueAuthenticationRequest_Password{Password: p} },
		"totp":       func(p string) { req.Proof = &identityv1.ContinueAuthenticationRequest_Totp{Totp: p} },
		"email_code": func(p string) { req.Proof = &identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: p} },
		"email_link": func(p string) { req.Proof = &identityv1.ContinueAuthenticationRequest_EmailLink{EmailLink: p} },
	} {
		if p := r.PostFormValue(name); p != "" {
			given = field{Name: name, Label: labels[name]}
			set(p)
		}
	}
	left, err := s.prove(w, r, req)
	switch {
	case err != nil:
		if given.Name == "email_link" {
			given.Value = r.PostFormValue("email_link")
		}
		show(w, "step", view{Title: "Sign in", Reason: reason(err), Fields: []field{given}})
	case len(left) == 0:
		http.Redirect(w, r, "/account", http.StatusSeeOther)
	case slices.Contains(left, identityv1.Factor_FACTOR_TOTP):
		show(w, "step", view{Title: "One more step", Fields: []field{{Name: "totp", Label: labels["totp"]}}})
	default:
		show(w, "step", view{Title: "Sign in", Reason: "no page for " + left[0].String()})
	}
}

// prove takes a proof, and signs in who has proved enough: then nothing is left.
func (s *site) prove(w http.ResponseWriter, r *http.Request, req *identityv1.ContinueAuthenticationRequest) ([]identityv1.Factor, error) {
	req.Authentication, req.Secret = cookie(r, idCookie), cookie(r, secretCookie)
	req.Client, req.IdempotencyKey = from(r), rand.Text()
	continued, err := s.client.Authentications.ContinueAuthentication(r.Context(), req)
	if err != nil {
		return nil, err
	}
	if a := continued.GetAuthentication(); a.GetState() != identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE {
		return a.GetFactorsLeft(), nil
	}
	finished, err := s.client.Authentications.FinishAuthentication(r.Context(), &identityv1.FinishAuthenticationRequest{
		Authentication: req.GetAuthentication(), Secret: req.GetSecret(), IdempotencyKey: rand.Text(),
	})
	if err != nil {
		return nil, err
	}
	session := rand.Text()
	s.mu.Lock()
	s.sessions[session] = finished
	s.mu.Unlock()
	keep(w, sessionCookie, session)
	keep(w, deviceCookie, finished.GetDevice())
	return nil, nil
}

// session is who is signed in, or nil.
func (s *site) session(r *http.Request) *identityv1.FinishAuthenticationResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[cookie(r, sessionCookie)]
}

func (s *site) account(w http.ResponseWriter, r *http.Request) {
	if who := s.session(r); who != nil {
		show(w, "account", view{Title: "Account", Result: who})
		return
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

func (s *site) beginSignIn(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	id, secret, err := s.begin(w, r, "")
	if err != nil {
		return nil, err
	}
	options, err := s.request(r, id, secret, identityv1.Factor_FACTOR_PASSKEY)
	return map[string]any{"options": json.RawMessage(options)}, err
}

func (s *site) finishSignIn(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	response, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, err = s.prove(w, r, &identityv1.ContinueAuthenticationRequest{
		Proof: &identityv1.ContinueAuthenticationRequest_Passkey{Passkey: string(response)},
	})
	return map[string]any{}, err
}

func (s *site) beginPasskey(_ http.ResponseWriter, r *http.Request) (map[string]any, error) {
	begun, err := s.client.Credentials.BeginPasskey(r.Context(), &identityv1.BeginPasskeyRequest{
		User: s.session(r).GetUser(), IdempotencyKey: rand.Text(),
	})
	return map[string]any{"ceremony": begun.GetCeremony(), "options": json.RawMessage(begun.GetOptions())}, err
}

func (s *site) finishPasskey(_ http.ResponseWriter, r *http.Request) (map[string]any, error) {
	response, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	made, err := s.client.Credentials.FinishPasskey(r.Context(), &identityv1.FinishPasskeyRequest{
		User: s.session(r).GetUser(), Ceremony: r.URL.Query().Get("ceremony"), Response: string(response), Name: "This browser",
		IdempotencyKey: rand.Text(),
	})
	return map[string]any{"credential": made.GetCredential().GetId()}, err
}

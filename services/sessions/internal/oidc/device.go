package oidc

import (
	"context"
	"crypto/rand"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/device"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// deviceGrant is the grant_type of devices.
//
// Source: RFC 8628 section 3.4.
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// deviceAuthorization begins what a device asks for: the device shows the code, and asks
// at the token endpoint until somebody has typed it.
//
// Source: RFC 8628 sections 3.1 and 3.2.
func (p *Provider) deviceAuthorization(w http.ResponseWriter, r *http.Request, issuer string) error {
	values, err := form(r)
	if err != nil {
		return err
	}
	c, err := p.Clients.Authenticate(r.Context(), r, values, issuer)
	if err != nil {
		return err
	}
	if err := p.countAnonymous(r, c); err != nil {
		return err
	}
	if !may(c.State, sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE) {
		return answer.Refuse(answer.UnauthorizedClient, "the client may not use device codes")
	}
	all := store.Grant{Scopes: c.Settings.GetScopes(), Resources: c.Settings.GetResources()}
	scopes, resources, err := narrowed(values, all)
	if err != nil {
		return err
	}
	if len(values["resource"]) == 0 && len(resources) > 1 {
		resources = resources[:1]
	}
	if values.Get("scope") == "" {
		scopes = slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == "offline_access" })
	}
	now := p.now()
	d := store.Device{
		State:  device.State{Status: device.Waiting, Client: c.ID, Interval: device.Interval, PolledAt: now.Add(-device.Interval), ExpiresAt: now.Add(device.Life)},
		Issuer: issuer, Scopes: scopes, Resources: resources, IP: address(r), HomeRegion: p.Region,
	}
	code, hash := randomText()
	d.Hash = hash
	typed, err := p.insertDevice(r.Context(), d)
	if err != nil {
		return err
	}
	shown := device.Shown(typed)
	return answer.JSON(w, http.StatusOK, struct {
		Device   string `json:"device_code"`
		User     string `json:"user_code"`
		URI      string `json:"verification_uri"`
		Complete string `json:"verification_uri_complete"`
		Expires  int64  `json:"expires_in"`
		Interval int64  `json:"interval"`
	}{code, shown, issuer + "/device", issuer + "/device?user_code=" + shown, int64(device.Life / time.Second), int64(device.Interval / time.Second)})
}

// insertDevice writes a device under a user code that no other one has.
func (p *Provider) insertDevice(ctx context.Context, d store.Device) (typed string, err error) {
	for range tries {
		if typed, err = userCode(); err != nil {
			return "", err
		}
		d.UserHash = hashOf("user code " + typed)
		inserted, err := store.InsertDevice(ctx, p.DB, d)
		if err != nil {
			return "", err
		}
		if inserted {
			return typed, nil
		}
	}
	return "", fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "no user code is free")
}

// userCode is a code that people can type.
func userCode() (string, error) {
	var b strings.Builder
	for range device.Length {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(device.Alphabet))))
		if err != nil {
			return "", err
		}
		b.WriteByte(device.Alphabet[n.Int64()])
	}
	return b.String(), nil
}

// poll answers a device's question for its tokens.
//
// Source: RFC 8628 sections 3.4 and 3.5.
func (p *Provider) poll(ctx context.Context, x *exchange) (tokens, error) {
	code := x.form.Get("device_code")
	if code == "" {
		return tokens{}, answer.Refuse(answer.InvalidRequest, "device_code is missing")
	}
	d, err := store.FindDevice(ctx, p.DB.Pool(), hashOf(code))
	if err != nil {
		return tokens{}, err
	}
	known := d.State
	if d.Issuer != x.issuer {
		known = device.State{}
	}
	after, told := device.Poll{Client: x.client.ID, At: x.at}.Decide(known)
	if told != "" {
		if after != known {
			d.State = after
			if err := store.PollDevice(ctx, p.DB, d); err != nil {
				return tokens{}, err
			}
		}
		return tokens{}, answer.Refuse(told, "")
	}
	out, err := p.use(ctx, x, d.Grant, func(store.Grant) bool { return true },
		func(g store.Grant, ended bool) (grant.State, []proto.Message, error) {
			after, err := grant.Complete{Client: x.client.ID, SessionEnded: ended, At: x.at}.Decide(g.State)
			if err == nil {
				after = bound(after, x)
			}
			return after, nil, err
		})
	if err != nil {
		return tokens{}, err // it may come again
	}
	if _, err := store.TakeDevice(ctx, p.DB, d.Hash); err != nil {
		p.Logger.WarnContext(ctx, "a device that has its tokens is kept until it expires", slog.Any("error", err))
	}
	return out, nil
}

// devicePage asks for the code that a device shows. A link with the code in it fills it
// in: the person sends it, so that a link alone does nothing.
//
// Source: RFC 8628 sections 3.3 and 5.4.
func (p *Provider) devicePage(w http.ResponseWriter, r *http.Request, _ string) error {
	view := pages.Device{}
	if code := device.Canonical(r.URL.Query().Get("user_code")); code != "" {
		view.Code = device.Shown(code)
	}
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// typed takes a code, and goes on as with a request of the device's client; with a
// decision it takes that.
func (p *Provider) typed(w http.ResponseWriter, r *http.Request, issuer string) error {
	if err := ours(r); err != nil {
		return err
	}
	if _, err := form(r); err != nil {
		return fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "the form cannot be read")
	}
	if r.PostForm.Get("request") != "" {
		return p.decideDevice(w, r, issuer)
	}
	if p.Guesses.Take(r) != nil {
		return p.Pages.Write(w, r, http.StatusTooManyRequests, pages.Device{Problem: "limited"})
	}
	code := device.Canonical(r.PostForm.Get("user_code"))
	d, err := store.FindDeviceOfUser(r.Context(), p.DB.Pool(), hashOf("user code "+code))
	if err != nil {
		return err
	}
	if code == "" || d.Status != device.Waiting || d.Issuer != issuer || !p.Clock().Before(d.ExpiresAt) {
		return p.Pages.Write(w, r, http.StatusUnprocessableEntity, pages.Device{Code: r.PostForm.Get("user_code"), Problem: "user_code.wrong"})
	}
	p.Guesses.GiveBack(r)
	c, err := p.client(r.Context(), d.Client)
	if err != nil {
		return err
	}
	return p.advance(w, r, &visit{
		issuer: issuer, client: c,
		pending: pending{
			// Whoever types a code is asked, whatever the client is: somebody else may have sent it.
			Request: authorize.Request{Client: c.ID, Scopes: d.Scopes, Resources: d.Resources, MaxAge: -1, Prompt: authorize.Prompt{Consent: true}},
			AskedAt: p.now(), Device: d.Hash[:], Code: device.Shown(code), Place: d.IP,
		},
	})
}

// deviceConfirmation shows whose device it is, where it was asked for, and for what.
func (p *Provider) deviceConfirmation(w http.ResponseWriter, r *http.Request, v *visit, access pages.Access) error {
	return p.Pages.Write(w, r, http.StatusOK, pages.Device{Frame: v.frame(), Code: v.pending.Code, Confirm: true, Place: v.pending.Place, Access: access})
}

// decideDevice takes what a person said of a device.
func (p *Provider) decideDevice(w http.ResponseWriter, r *http.Request, issuer string) error {
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return err
	}
	if len(v.pending.Device) == 0 {
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "the request is not a device's")
	}
	if r.PostForm.Get("decision") != "allow" {
		if err := store.AnswerDevice(r.Context(), p.DB.Pool(), [32]byte(v.pending.Device), device.Denied, ""); err != nil {
			return err
		}
		if _, err := store.TakeRequest(r.Context(), p.DB, v.row.Hash); err != nil {
			return err
		}
		return p.Pages.Write(w, r, http.StatusOK, pages.Device{Denied: true})
	}
	s, err := p.session(r.Context(), r)
	if err != nil {
		return err
	}
	v.pending.AgreedBy = s.User
	return p.advance(w, r, v)
}

// allowDevice gives the device its grant, which it comes for by itself.
func (p *Provider) allowDevice(w http.ResponseWriter, r *http.Request, v *visit, s interaction.Situation, o interaction.Outcome) error {
	if _, err := store.TakeRequest(r.Context(), p.DB, v.row.Hash); err != nil {
		return err
	}
	g := p.granted(v, s, o)
	if err := p.give(r.Context(), &g, s.Agreed[o.Organization], s.Agreed[o.Organization]); err != nil {
		return err
	}
	if err := store.AnswerDevice(r.Context(), p.DB.Pool(), [32]byte(v.pending.Device), device.Allowed, g.ID); err != nil {
		return err
	}
	return p.Pages.Write(w, r, http.StatusOK, pages.Device{Done: true})
}

// deviceRefused tells a person that it goes no further: there is no client to tell.
func (p *Provider) deviceRefused(w http.ResponseWriter, r *http.Request, e *authorize.Error) error {
	return p.Pages.Write(w, r, http.StatusForbidden, pages.Error{Code: e.Code, Detail: e.Description})
}

// requestURL is a page of a request.
func requestURL(page, name string) string { return page + "?request=" + url.QueryEscape(name) }

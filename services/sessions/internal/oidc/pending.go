package oidc

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// pendingLife is how long a request waits for a person.
const pendingLife = time.Hour

// pending is how far a request is that waits for a person.
type pending struct {
	Request authorize.Request
	AskedAt time.Time
	// Chosen is the organization that the person chose.
	Chosen string
	// AgreedBy is the user who agreed to what the client asks for, or ""; Declined: somebody
	// did not.
	AgreedBy string
	Declined bool
	// Device is the hash of the device that waits for this, Code and Place are what is
	// shown of it; nil: none does.
	Device      []byte
	Code, Place string
	// NoStepUp: the person has no way to prove more.
	NoStepUp bool
}

func encode(v any) ([]byte, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return content, nil
}

func decode(content []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decode request: %w", err)
	}
	return nil
}

// keep writes how far a request is, so that a page can go on with it in this browser.
func (p *Provider) keep(w http.ResponseWriter, r *http.Request, v *visit) (err error) {
	if v.row.Content, err = encode(v.pending); err != nil {
		return err
	}
	if v.name != "" {
		return store.UpdateRequest(r.Context(), p.DB, v.row)
	}
	v.name, v.row.Hash = randomText()
	v.row.Client, v.row.Issuer, v.row.Browser = v.client.ID, v.issuer, browser(w, r)
	v.row.HomeRegion, v.row.ExpiresAt = p.Region, v.pending.AskedAt.Add(pendingLife)
	return store.InsertRequest(r.Context(), p.DB, v.row)
}

// pendingOf is the request that a browser is in, by the parameter request.
//
// Errors: NOT_FOUND for one that is absent, over, or another browser's.
func (p *Provider) pendingOf(r *http.Request, issuer string) (*visit, error) {
	gone := fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "the request is over, or was begun in another browser")
	name := r.URL.Query().Get("request")
	if r.Method == http.MethodPost {
		name = r.PostFormValue("request")
	}
	held := hashOf(cookie(r, browserCookie))
	row, err := store.FindRequest(r.Context(), p.DB.Pool(), hashOf(name))
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return nil, gone
	case err != nil:
		return nil, err
	case row.Browser == nil || subtle.ConstantTimeCompare(row.Browser, held[:]) != 1 || row.Issuer != issuer || !p.Clock().Before(row.ExpiresAt):
		return nil, gone
	}
	v := &visit{issuer: issuer, name: name, row: row}
	if err := decode(row.Content, &v.pending); err != nil {
		return nil, err
	}
	if v.client, err = p.client(r.Context(), row.Client); err != nil {
		return nil, err
	}
	party.Found(r.Context(), party.Party{ID: v.client.ID, Organization: v.client.Organization})
	if v.client.ID == "" || v.client.Disabled {
		return nil, gone
	}
	v.theme, err = p.themeOf(r.Context(), v.client.Organization, v.pending.Chosen, v.pending.Request.Organization)
	return v, err
}

// themeOf is how the pages look to the people of the first organization that is named by
// its id.
func (p *Provider) themeOf(ctx context.Context, organizations ...string) (pages.Theme, error) {
	for _, organization := range organizations {
		if id.Valid(id.Organization, organization) {
			row, err := store.FindTheme(ctx, p.DB.Pool(), organization)
			return pages.Theme{Name: row.Name, Color: row.Color}, err
		}
	}
	return pages.Theme{}, nil
}

package passkey_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

func TestValidate(t *testing.T) {
	related := func(origins ...string) func(*passkey.Relying) {
		return func(r *passkey.Relying) { r.RelatedOrigins = origins }
	}
	origins := func(origins ...string) func(*passkey.Relying) {
		return func(r *passkey.Relying) { r.Origins = origins }
	}
	id := func(id, origin string) func(*passkey.Relying) {
		return func(r *passkey.Relying) { r.ID, r.Origins = id, []string{origin} }
	}
	for name, c := range map[string]struct {
		change func(*passkey.Relying)
		field  string
	}{
		"as it is":                    {func(*passkey.Relying) {}, ""},
		"domain below":                {origins("https://login.example.org", "https://example.org:8443"), ""},
		"application":                 {origins("https://example.org", "android:apk-key-hash:AAAA"), ""},
		"localhost":                   {id("localhost", "http://localhost:8080"), ""},
		"five names":                  {related("https://a.com", "https://a.de", "https://b.com", "https://c.com", "https://d.com", "https://e.co.uk", "https://e.com"), ""},
		"no id":                       {id("", "https://example.org"), "relying.id"},
		"id in upper case":            {id("Example.org", "https://example.org"), "relying.id"},
		"address":                     {id("127.0.0.1", "https://127.0.0.1"), "relying.id"},
		"id with a port":              {id("example.org:443", "https://example.org"), "relying.id"},
		"public suffix":               {id("co.uk", "https://example.co.uk"), "relying.id"},
		"no name":                     {func(r *passkey.Relying) { r.Name = "" }, "relying.name"},
		"no origin":                   {origins(), "relying.origins"},
		"origin of another domain":    {origins("https://example.net"), "relying.origins"},
		"origin of a name that ends":  {origins("https://anexample.org"), "relying.origins"},
		"origin with a path":          {origins("https://example.org/"), "relying.origins"},
		"origin with a default port":  {origins("https://example.org:443"), "relying.origins"},
		"origin in upper case":        {origins("https://Example.org"), "relying.origins"},
		"not encrypted":               {origins("http://example.org"), "relying.origins"},
		"not an origin":               {origins("example.org"), "relying.origins"},
		"related is its own":          {related("https://www.example.org"), "relying.related_origins"},
		"related is not encrypted":    {related("http://example.net"), "relying.related_origins"},
		"related is an application":   {related("android:apk-key-hash:AAAA"), "relying.related_origins"},
		"six names":                   {related("https://a.com", "https://b.com", "https://c.com", "https://d.com", "https://e.com", "https://f.com"), "relying.related_origins"},
		"top origins are of no use":   {func(r *passkey.Relying) { r.CrossOrigin = false }, "relying.top_origins"},
		"top origin that is not one":  {func(r *passkey.Relying) { r.TopOrigins = []string{"*"} }, "relying.top_origins"},
		"frames, and no top origin":   {func(r *passkey.Relying) { r.TopOrigins = nil }, ""},
		"origin with a user, a query": {origins("https://a@example.org?b"), "relying.origins"},
	} {
		t.Run(name, func(t *testing.T) {
			r := relying()
			c.change(&r)
			err := r.Validate()
			_, _, begun := r.BeginAssertion(at, nil, passkey.Policy{})
			if c.field == "" {
				if err != nil || begun != nil {
					t.Errorf("got %v, %v", err, begun)
				}
				return
			}
			for _, err := range []error{err, begun} {
				if f, ok := fault.As(err); !ok || f.Meta["field"] != c.field {
					t.Errorf("got %v, want a fault of %s", err, c.field)
				}
			}
		})
	}
}

func TestRelatedOrigins(t *testing.T) {
	r := relying()
	if got := r.WellKnown(); got != nil {
		t.Errorf("without related origins: %s", got)
	}
	r.RelatedOrigins = []string{"https://example.de", "https://example.com"}
	if got, want := string(r.WellKnown()), `{"origins":["https://example.de","https://example.com"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	_, s, err := r.BeginRegistration(at, alice, nil, passkey.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	sent := created(s, []byte{1}, noneObject(t, r.ID, flagUP|flagUV, []byte{1}, 0))
	sent.clientData = bytes.Replace(sent.clientData, []byte("https://example.org"), []byte("https://example.de"), 1)
	if _, err := r.FinishRegistration(at, s, sent.json()); err != nil {
		t.Errorf("at a related origin: %v", err)
	}
	r.RelatedOrigins = nil
	_, err = r.FinishRegistration(at, s, sent.json())
	mustRefuse(t, err, passkey.RuleOrigin)
}

func TestDecodeState(t *testing.T) {
	_, s, err := relying().BeginAssertion(at, nil, passkey.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	row, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string][]byte{
		"nothing": nil, "an empty object": []byte("{}"), "half": row[:len(row)/2],
		"other ceremony":  bytes.Replace(row, []byte("webauthn.get"), []byte("payment.get"), 1),
		"short challenge": []byte(`{"ceremony":"webauthn.get","challenge":"AAAA"}`),
	} {
		if _, err := passkey.DecodeState(row); !errors.Is(err, passkey.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

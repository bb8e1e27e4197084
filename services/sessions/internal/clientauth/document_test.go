package clientauth_test

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// A client that nobody registered is known by its document, as public or by its keys,
// and by no secret; one that is blocked is none.
func TestPublishedClients(t *testing.T) {
	t.Parallel()
	f, signer := newFixture(t), newSigner(t)
	status := http.StatusOK
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		more := map[string]string{
			"/public": `"token_endpoint_auth_method":"none"`, "/signs": `"token_endpoint_auth_method":"private_key_jwt","jwks":` + signer.set(t),
			"/secret": `"token_endpoint_auth_method":"client_secret_basic"`,
		}[r.URL.Path]
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusBadGateway)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"client_id":"`+server.URL+r.URL.Path+`","client_name":"App","redirect_uris":["https://app.example/"],`+more+`}`)
	}))
	t.Cleanup(server.Close)
	public, signs, hasSecret := server.URL+"/public", server.URL+"/signs", server.URL+"/secret"
	f.check(t, withForm("client_id", public), invalidClient) // no documents are taken
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	f.Documents = clientdoc.New(clientdoc.Options{Clock: f.clock, Transport: outbound.Options{Judge: outbound.Loopback, Roots: roots}})

	f.check(t, withForm("client_id", public), taken)
	f.check(t, withForm("client_id", public, "client_secret", "x"), invalidClient)
	f.check(t, withHeader(inHeader(public, "x")), invalidClient)
	f.check(t, withForm("client_id", signs), invalidClient)
	f.check(t, asserting(signer.sign(t, f.claims(signs))), taken)
	f.check(t, asserting(newSigner(t).sign(t, f.claims(signs))), invalidClient)
	f.check(t, asserting(signer.sign(t, f.claims(public))), invalidClient)
	f.check(t, withForm("client_id", hasSecret), invalidClient)
	f.check(t, withHeader(inHeader(hasSecret, "x")), invalidClient)
	if _, err := f.Authenticate(t.Context(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), withForm("client_id", server.URL+"/down").form, issuer); err == nil {
		t.Error("a client whose document is away is taken")
	}
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return store.PutBlock(ctx, tx, store.Block{Client: public, HomeRegion: region, BlockedAt: f.clock()})
	})
	if err != nil {
		t.Fatal(err)
	}
	f.check(t, withForm("client_id", public), invalidClient)
}

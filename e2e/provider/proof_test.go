package provider_test

import (
	"net/http"
	"strings"
	"testing"
)

// testProvedCalls: the API takes a token that is bound to a key with a proof of the key, for
// the call and once, by a client of others that makes the proofs. The administrator of the
// organization is whose the token is.
func (w *world) testProvedCalls(t *testing.T, org string) {
	const list, create = "/meridian.identity.v1.GroupService/ListGroups", "/meridian.identity.v1.GroupService/CreateGroup"
	public := w.settings(none)
	public.DpopRequired, public.OrganizationRequired, public.Scopes = true, true, append(public.Scopes, "meridian")
	id, _ := w.client(t, public)
	open := func() (*relyingParty, string) {
		rp := openRelyingParty(t)
		rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "none", "dpop": true})
		v := w.visitor(t)
		v.open(text(t, rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid meridian"}), "url"))
		v.signIn("admin@example.com")
		return rp, text(t, rp.do(t, "callback", args{"url": v.back}), "access_token")
	}
	rp, token := open()
	thief, others := open()
	body := args{"organization": org}
	first := rp.do(t, "call", args{"token": token, "url": w.issuer + list, "body": body})
	if first["status"] != float64(http.StatusOK) || text(t, first, "authorization") != "DPoP "+token {
		t.Fatalf("the call: %v", first)
	}
	thief.do(t, "call", args{"token": others, "url": w.issuer + list, "body": body})
	thief.refused(t, "call", args{"token": token, "url": w.issuer + list, "body": body}, "OAUTH_WWW_AUTHENTICATE_CHALLENGE")

	// proof is a new one that was not used.
	proof := func(of *relyingParty, token, path string) string {
		return text(t, of.do(t, "call", args{"token": token, "url": w.issuer + path, "body": body, "dry": true}), "proof")
	}
	for name, tc := range map[string]struct {
		method, path, authorization, proof string
		reason, code                       string
	}{
		"a new proof":       {http.MethodPost, list, "DPoP " + token, proof(rp, token, list), "", ""},
		"the proof again":   {http.MethodPost, list, "DPoP " + token, text(t, first, "proof"), "PROOF_REJECTED", "invalid_dpop_proof"},
		"no proof":          {http.MethodPost, list, "DPoP " + token, "", "PROOF_REJECTED", "invalid_dpop_proof"},
		"another key":       {http.MethodPost, list, "DPoP " + token, proof(thief, token, list), "PROOF_REJECTED", "invalid_dpop_proof"},
		"another URL":       {http.MethodPost, create, "DPoP " + token, proof(rp, token, list), "PROOF_REJECTED", "invalid_dpop_proof"},
		"another method":    {http.MethodGet, list + "?connect=v1&encoding=json&message=%7B%22organization%22%3A%22" + org + "%22%7D", "DPoP " + token, proof(rp, token, list), "PROOF_REJECTED", "invalid_dpop_proof"},
		"another token":     {http.MethodPost, list, "DPoP " + token, proof(rp, others, list), "PROOF_REJECTED", "invalid_dpop_proof"},
		"as Bearer":         {http.MethodPost, list, "Bearer " + token, proof(rp, token, list), "TOKEN_REJECTED", "invalid_token"},
		"as Bearer, barely": {http.MethodPost, list, "Bearer " + token, "", "TOKEN_REJECTED", "invalid_token"},
		"an API token":      {http.MethodPost, list, "DPoP " + w.token.Reveal(), proof(rp, w.token.Reveal(), list), "TOKEN_MALFORMED", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, w.issuer+tc.path, strings.NewReader(`{"organization":"`+org+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if tc.method == http.MethodGet {
			req.Body, req.ContentLength = http.NoBody, 0
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {tc.authorization}}
		if tc.proof != "" {
			req.Header.Set("DPoP", tc.proof)
		}
		r := send(t, req)
		if tc.reason == "" {
			if r.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, r.status, r.text)
			}
			continue
		}
		challenge := r.header.Get("WWW-Authenticate")
		if r.status != http.StatusUnauthorized || !strings.Contains(r.text, tc.reason) || !strings.HasPrefix(challenge, "DPoP ") || tc.code != "" && !strings.Contains(challenge, `error="`+tc.code+`"`) {
			t.Errorf("%s: %d %s, challenge %s", name, r.status, r.text, challenge)
		}
	}
}

package passkeys_test

// authenticator is a virtual one, which a page's user has.
type authenticator struct {
	person

	id string
}

// addAuthenticator gives a person's device one that verifies its user, and is touched
// whenever it asks for that.
func addAuthenticator(p person) authenticator {
	p.t.Helper()
	p.CDP("WebAuthn.enable", nil, nil)
	var made struct {
		ID string `json:"authenticatorId"`
	}
	p.CDP("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
		"isUserVerified": true, "automaticPresenceSimulation": true,
	}}, &made)
	return authenticator{person: p, id: made.ID}
}

// credential returns the only credential that it holds, as the DevTools protocol
// has it.
func (a authenticator) credential() map[string]any {
	a.t.Helper()
	var all struct {
		Credentials []map[string]any `json:"credentials"`
	}
	a.CDP("WebAuthn.getCredentials", map[string]any{"authenticatorId": a.id}, &all)
	if len(all.Credentials) != 1 {
		a.t.Fatalf("the authenticator holds %d credentials", len(all.Credentials))
	}
	return all.Credentials[0]
}

// add adds a credential of another authenticator.
func (a authenticator) add(credential map[string]any) {
	a.t.Helper()
	a.CDP("WebAuthn.addCredential", map[string]any{"authenticatorId": a.id, "credential": credential}, nil)
}

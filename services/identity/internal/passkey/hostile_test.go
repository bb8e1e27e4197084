package passkey_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

// replaced returns JSON with one member set, or left out if value is nil.
func replaced(t testing.TB, raw []byte, name string, value any) []byte {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	members[name] = value
	if value == nil {
		delete(members, name)
	}
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// changed returns data with changed flags.
func changed(data []byte, set, unset byte) []byte {
	out := bytes.Clone(data)
	out[flagsAt] = out[flagsAt]&^unset | set
	return out
}

func flipped(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 1
	return out
}

// onClient are changes of client data that are refused in both ceremonies; other
// is the type of the other ceremony.
func onClient(other string) map[string]struct {
	member string
	value  any
	want   passkey.Rule
} {
	return map[string]struct {
		member string
		value  any
		want   passkey.Rule
	}{
		"type of the other ceremony":  {"type", other, passkey.RuleType},
		"no type":                     {"type", nil, passkey.RuleType},
		"type is a number":            {"type", 1, passkey.RuleMalformed},
		"other challenge":             {"challenge", b64(make([]byte, 32)), passkey.RuleChallenge},
		"no challenge":                {"challenge", nil, passkey.RuleChallenge},
		"other origin":                {"origin", "https://example.net", passkey.RuleOrigin},
		"domain that ends alike":      {"origin", "https://evilexample.org", passkey.RuleOrigin},
		"domain below that is no one": {"origin", "https://sub.example.org", passkey.RuleOrigin},
		"other scheme":                {"origin", "http://example.org", passkey.RuleOrigin},
		"other port":                  {"origin", "https://example.org:8443", passkey.RuleOrigin},
		"origin with a path":          {"origin", "https://example.org/", passkey.RuleOrigin},
		"origin in upper case":        {"origin", "https://EXAMPLE.org", passkey.RuleOrigin},
		"origin with a user":          {"origin", "https://a@example.org", passkey.RuleOrigin},
		"no origin":                   {"origin", nil, passkey.RuleOrigin},
		"cross origin is a text":      {"crossOrigin", "true", passkey.RuleMalformed},
		"other top origin":            {"topOrigin", "https://example.net", passkey.RuleTopOrigin},
		"top origin is null":          {"topOrigin", json.RawMessage("null"), passkey.RuleMalformed},
	}
}

func TestHostileRegistrations(t *testing.T) {
	all, _ := vectors(t)
	count := 0
	for _, v := range all {
		if v.Anchor == "sctn-test-vectors-packed-ed448" {
			continue
		}
		t.Run(strings.TrimPrefix(v.Anchor, "sctn-test-vectors-"), func(t *testing.T) {
			r, sent, policy := relying(), v.registration(t), v.direct(t)
			if _, ok := refused[v.Anchor]; ok {
				// What is changed is refused before its attestation is.
				policy.Attestation = passkey.AttestationNone
				sent = sent.with(t, func(o *object) { o.Format, o.Statement = "none", cbor.RawMessage{0xa0} })
			}
			state := v.began(t, r, policy)
			try := func(name string, r passkey.Relying, s passkey.State, response []byte, want passkey.Rule) {
				t.Helper()
				count++
				_, err := r.FinishRegistration(at, s, response)
				decided(t, name, err, want)
			}
			if _, err := r.FinishRegistration(at, state, sent.json()); err != nil {
				t.Fatalf("control: %v", err)
			}

			for name, c := range onClient("webauthn.get") {
				bad := sent
				bad.clientData = replaced(t, sent.clientData, c.member, c.value)
				try(name, r, state, bad.json(), c.want)
			}
			data := sent.object(t).Data
			withData := func(data []byte) []byte { return sent.with(t, func(o *object) { o.Data = data }).json() }
			strict := state
			strict.UserVerification = passkey.Required
			other := passkey.Relying{ID: "example.net", Name: "Other", Origins: []string{"https://example.net"}, RelatedOrigins: r.Origins, CrossOrigin: true, TopOrigins: r.TopOrigins}
			elsewhere := v.began(t, other, policy)
			try("relying party of another id", other, elsewhere, sent.json(), passkey.RuleRPID)
			try("state of another relying party", r, elsewhere, sent.json(), passkey.RuleRPID)
			try("other challenge was sent", r, challenged(state), sent.json(), passkey.RuleChallenge)
			try("hash of another id", r, state, withData(flipped(data, 0)), passkey.RuleRPID)
			try("user not present", r, state, withData(changed(data, 0, flagUP)), passkey.RuleUserPresence)
			try("user not verified", r, strict, withData(changed(data, 0, flagUV)), passkey.RuleUserVerification)
			try("backed up but not eligible", r, state, withData(changed(data, flagBS, flagBE)), passkey.RuleBackup)
			try("no credential in the data", r, state, withData(changed(data[:37], 0, 0x40)), passkey.RuleMalformed)
			for _, n := range []int{0, 1, 36, 37, 54, 55, len(data) / 2, len(data) - 1} {
				try("truncated authenticator data", r, state, withData(data[:n]), passkey.RuleMalformed)
			}
			try("byte after the authenticator data", r, state, withData(append(bytes.Clone(data), 0)), passkey.RuleMalformed)
			for _, n := range []int{0, 1, len(sent.attestationObject) / 2, len(sent.attestationObject) - 1} {
				bad := sent
				bad.attestationObject = sent.attestationObject[:n]
				try("truncated attestation object", r, state, bad.json(), passkey.RuleMalformed)
				try("truncated response", r, state, sent.json()[:n], passkey.RuleMalformed)
			}
			bad := sent
			bad.attestationObject = append(bytes.Clone(sent.attestationObject), 0)
			try("byte after the attestation object", r, state, bad.json(), passkey.RuleMalformed)
			bad = sent
			bad.clientData = append(bytes.Clone(sent.clientData), '}')
			try("byte after the client data", r, state, bad.json(), passkey.RuleMalformed)
			try("byte after the response", r, state, append(sent.json(), '}'), passkey.RuleMalformed)
			bad = sent
			bad.id = flipped(sent.id, 0)
			try("other id", r, state, bad.json(), passkey.RuleCredentialID)
			excluding := state
			excluding.Credentials = [][]byte{sent.id}
			try("excluded id", r, excluding, sent.json(), passkey.RuleExcluded)
			narrow := state
			narrow.Algorithms = slices.DeleteFunc(slices.Clone(everyAlgorithm), func(a passkey.Algorithm) bool { return a == v.credential(t).Algorithm })
			try("algorithm that was not offered", r, narrow, sent.json(), passkey.RuleAlgorithm)
			if format := sent.object(t).Format; format != "none" {
				bad = sent
				bad.clientData = append(bytes.Clone(sent.clientData), ' ')
				try("other client data than was attested", r, state, bad.json(), passkey.RuleAttestation)
				if format != "fido-u2f" { // which attests no counter
					try("other counter than was attested", r, state, withData(flipped(data, 36)), passkey.RuleAttestation)
				}
			}
		})
	}
	t.Logf("%d hostile registrations", count)
}

func TestHostileAssertions(t *testing.T) {
	all, _ := vectors(t)
	count := 0
	for _, v := range all {
		if v.Anchor == "sctn-test-vectors-packed-ed448" {
			continue
		}
		t.Run(strings.TrimPrefix(v.Anchor, "sctn-test-vectors-"), func(t *testing.T) {
			r, known, sent := relying(), v.credential(t), v.assertion(t)
			state := v.asked(t, r, nil, passkey.Policy{UserVerification: verification(sent.authenticatorData)})
			try := func(name string, r passkey.Relying, s passkey.State, response []byte, known passkey.Credential, want passkey.Rule) {
				t.Helper()
				count++
				_, err := r.FinishAssertion(at, s, response, holds(known))
				decided(t, name, err, want)
			}
			if _, err := r.FinishAssertion(at, state, sent.json(), holds(known)); err != nil {
				t.Fatalf("control: %v", err)
			}

			for name, c := range onClient("webauthn.create") {
				bad := sent
				bad.clientData = replaced(t, sent.clientData, c.member, c.value)
				try(name, r, state, bad.json(), known, c.want)
			}
			with := func(change func(*assertion)) []byte {
				bad := sent
				change(&bad)
				return bad.json()
			}
			data := sent.authenticatorData
			withData := func(data []byte) []byte { return with(func(a *assertion) { a.authenticatorData = data }) }
			strict := state
			strict.UserVerification = passkey.Required
			other := passkey.Relying{ID: "example.net", Name: "Other", Origins: []string{"https://example.net"}, RelatedOrigins: r.Origins, CrossOrigin: true, TopOrigins: r.TopOrigins}
			elsewhere := v.asked(t, other, nil, passkey.Policy{})
			try("relying party of another id", other, elsewhere, sent.json(), known, passkey.RuleRPID)
			try("state of another relying party", r, elsewhere, sent.json(), known, passkey.RuleRPID)
			try("other challenge was sent", r, challenged(state), sent.json(), known, passkey.RuleChallenge)
			try("hash of another id", r, state, withData(flipped(data, 0)), known, passkey.RuleRPID)
			try("user not present", r, state, withData(changed(data, 0, flagUP)), known, passkey.RuleUserPresence)
			try("user not verified", r, strict, withData(changed(data, 0, flagUV)), known, passkey.RuleUserVerification)
			try("backed up but not eligible", r, state, withData(changed(data, flagBS, flagBE)), known, passkey.RuleBackup)
			try("eligibility that changed", r, state, withData(flipEligible(data)), known, passkey.RuleBackup)
			try("other counter than was signed", r, state, withData(flipped(data, 36)), known, passkey.RuleSignature)
			for _, n := range []int{0, 1, 32, 36} {
				try("truncated authenticator data", r, state, withData(data[:n]), known, passkey.RuleMalformed)
			}
			try("byte after the authenticator data", r, state, withData(append(bytes.Clone(data), 0)), known, passkey.RuleMalformed)
			for _, n := range []int{0, 1, len(sent.signature) / 2, len(sent.signature) - 1} {
				try("truncated signature", r, state, with(func(a *assertion) { a.signature = a.signature[:n] }), known, passkey.RuleSignature)
				try("truncated response", r, state, sent.json()[:n], known, passkey.RuleMalformed)
			}
			try("byte after the signature", r, state, with(func(a *assertion) { a.signature = append(bytes.Clone(a.signature), 0) }), known, passkey.RuleSignature)
			for at := range sent.signature {
				try("flipped signature", r, state, with(func(a *assertion) { a.signature = flipped(a.signature, at) }), known, passkey.RuleSignature)
			}
			try("other client data than was signed", r, state, with(func(a *assertion) { a.clientData = append(bytes.Clone(a.clientData), ' ') }), known, passkey.RuleSignature)
			try("byte after the client data", r, state, with(func(a *assertion) { a.clientData = append(bytes.Clone(a.clientData), '}') }), known, passkey.RuleMalformed)
			try("byte after the response", r, state, append(sent.json(), '}'), known, passkey.RuleMalformed)
			try("other id", r, state, with(func(a *assertion) { a.id = flipped(a.id, 0) }), known, passkey.RuleCredential)
			try("other user", r, state, with(func(a *assertion) { a.userHandle = []byte("bob") }), known, passkey.RuleUserHandle)
			try("no user", r, state, with(func(a *assertion) { a.userHandle = nil }), known, passkey.RuleUserHandle)
			stranger := known
			stranger.ID = flipped(known.ID, 0)
			narrow := v.asked(t, r, []passkey.Credential{stranger}, passkey.Policy{UserVerification: verification(data)})
			try("not an allowed credential", r, narrow, sent.json(), known, passkey.RuleCredential)
			elsewhereKnown := known
			elsewhereKnown.RPID = "example.net"
			try("credential of another relying party", r, state, sent.json(), elsewhereKnown, passkey.RuleCredential)
		})
	}
	t.Logf("%d hostile assertions", count)
}

// challenged returns the state with another challenge.
func challenged(s passkey.State) passkey.State {
	s.Challenge = flipped(s.Challenge, 0)
	return s
}

// flipEligible changes BE, and clears BS, which must not stand without it.
func flipEligible(data []byte) []byte {
	out := changed(data, 0, flagBS)
	out[flagsAt] ^= flagBE
	return out
}

// decided expects a refusal of a rule, or, if that is "", none.
func decided(t testing.TB, name string, err error, want passkey.Rule) {
	t.Helper()
	refusal, isRefusal := asRefusal(err)
	if refusal.Rule != want || isRefusal != (err != nil) {
		t.Errorf("%s: got %v, want %q", name, err, want)
	}
}

// The names in client data are told apart by case, and none may come twice.
func TestClientDataIsReadStrictly(t *testing.T) {
	r := relying()
	_, s, err := r.BeginRegistration(at, alice, nil, passkey.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	honest := `"type":"webauthn.create","challenge":"` + b64(s.Challenge) + `","origin":"https://example.org"`
	empty := registration{id: []byte{1}, attestationObject: noneObject(t, r.ID, flagUP|flagUV, []byte{1}, 0)}
	for name, c := range map[string]struct {
		clientData string
		want       passkey.Rule
	}{
		"control":                     {`{` + honest + `}`, ""},
		"unknown members are ignored": {`{` + honest + `,"tokenBinding":{"status":"supported"},"x":[{}]}`, ""},
		"two origins":                 {`{"origin":"https://evil.example",` + honest + `}`, passkey.RuleMalformed},
		"the same name, escaped":      {`{"\u006frigin":"https://evil.example",` + honest + `}`, passkey.RuleMalformed},
		"origin in other case":        {`{` + strings.Replace(honest, `"origin"`, `"Origin"`, 1) + `}`, passkey.RuleOrigin},
		"an array":                    {`[` + honest + `]`, passkey.RuleMalformed},
		"two objects":                 {`{` + honest + `}{}`, passkey.RuleMalformed},
		"nothing":                     {``, passkey.RuleMalformed},
		"not UTF-8":                   {`{` + honest + ",\"x\":\"\xff\"}", passkey.RuleMalformed},
		"a byte order mark":           {"\xef\xbb\xbf{" + honest + `}`, passkey.RuleMalformed},
		"deep":                        {`{` + honest + `,"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, passkey.RuleMalformed},
		"cross origin, not said top":  {`{` + honest + `,"crossOrigin":true}`, ""},
		"top origin":                  {`{` + honest + `,"crossOrigin":true,"topOrigin":"https://example.com"}`, ""},
		"top origin, not cross":       {`{` + honest + `,"crossOrigin":false,"topOrigin":"https://example.com"}`, passkey.RuleTopOrigin},
		"empty top origin":            {`{` + honest + `,"crossOrigin":true,"topOrigin":""}`, passkey.RuleTopOrigin},
	} {
		t.Run(name, func(t *testing.T) {
			sent := empty
			sent.clientData = []byte(c.clientData)
			_, err := r.FinishRegistration(at, s, sent.json())
			decided(t, name, err, c.want)
		})
	}

	framed := empty
	framed.clientData = []byte(`{` + honest + `,"crossOrigin":true}`)
	r.CrossOrigin, r.TopOrigins = false, nil
	_, err = r.FinishRegistration(at, s, framed.json())
	mustRefuse(t, err, passkey.RuleCrossOrigin)
}

func TestStateIsOfOneCeremonyAndTime(t *testing.T) {
	r := relying()
	_, s, err := r.BeginRegistration(at, alice, nil, passkey.Policy{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	_, get, err := r.BeginAssertion(at, nil, passkey.Policy{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	sent := registration{
		id: []byte{1}, attestationObject: noneObject(t, r.ID, flagUP|flagUV, []byte{1}, 0),
		clientData: []byte(`{"type":"webauthn.create","challenge":"` + b64(s.Challenge) + `","origin":"https://example.org"}`),
	}.json()
	large := append(bytes.Repeat([]byte(" "), passkey.MaxResponse-len(sent)), sent...)
	weak := s
	weak.Challenge = nil
	for name, c := range map[string]struct {
		now   time.Time
		state passkey.State
		sent  []byte
		want  passkey.Rule
	}{
		"in time":               {at.Add(time.Minute - 1), s, sent, ""},
		"too late":              {at.Add(time.Minute), s, sent, passkey.RuleExpired},
		"as large as allowed":   {at, s, large, ""},
		"too large":             {at, s, append([]byte(" "), large...), passkey.RuleSize},
		"state of an assertion": {at, get, sent, passkey.RuleType},
		"no state":              {at, passkey.State{}, sent, passkey.RuleType},
		"no challenge":          {at, weak, sent, passkey.RuleChallenge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.FinishRegistration(c.now, c.state, c.sent)
			decided(t, name, err, c.want)
		})
	}
	_, err = r.FinishAssertion(at, s, sent, nil)
	mustRefuse(t, err, passkey.RuleType)
}

// noneObject is an attestation object without attestation, of a P-256 key.
func noneObject(t testing.TB, rpID string, flags byte, id []byte, count uint32) []byte {
	t.Helper()
	return attested(t, rpID, flags, id, count, maps.Clone(p256))
}

package grant_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
)

// The pair of RFC 7636 appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

var start = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

func issued() grant.State {
	return grant.State{
		ID: "gnt_1", Status: grant.Issued, Client: "cli_1", IssuedAt: start, ExpiresAt: start.Add(90 * 24 * time.Hour),
		RedirectURI: "https://app.example/callback", Challenge: challenge, Refreshable: true, Idle: 14 * 24 * time.Hour, Grace: 10 * time.Second,
	}
}

func redeem() grant.Redeem {
	return grant.Redeem{Client: "cli_1", RedirectURI: "https://app.example/callback", Verifier: verifier, At: start.Add(time.Second)}
}

// reason is why the events revoke the grant.
func reason(t *testing.T, events []proto.Message) eventv1.Revocation {
	t.Helper()
	if len(events) == 0 {
		return 0
	}
	e, ok := events[0].(*eventv1.GrantRevoked)
	if !ok || len(events) != 1 || e.GetGrant() != "gnt_1" || e.GetClient() != "cli_1" {
		t.Fatalf("events %v", events)
	}
	return e.GetReason()
}

func TestRedeem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		given   func(*grant.State)
		when    func(*grant.Redeem)
		refused bool
		revokes eventv1.Revocation
	}{
		"code is exchanged":                    {},
		"last moment":                          {when: func(c *grant.Redeem) { c.At = start.Add(grant.CodeLife - 1) }},
		"expired":                              {when: func(c *grant.Redeem) { c.At = start.Add(grant.CodeLife) }, refused: true},
		"no such grant":                        {given: func(s *grant.State) { s.Status = grant.Absent }, refused: true},
		"revoked":                              {given: func(s *grant.State) { s.Status = grant.Revoked }, refused: true},
		"O03 replay revokes what it gave":      {given: func(s *grant.State) { s.Status = grant.Redeemed }, refused: true, revokes: eventv1.Revocation_REVOCATION_CODE_REUSED},
		"O04 another client spends nothing":    {when: func(c *grant.Redeem) { c.Client = "cli_2" }, refused: true},
		"O04 another client's replay":          {given: func(s *grant.State) { s.Status = grant.Redeemed }, when: func(c *grant.Redeem) { c.Client = "cli_2" }, refused: true},
		"O04 another redirect URI":             {when: func(c *grant.Redeem) { c.RedirectURI += "/" }, refused: true},
		"O04 no redirect URI":                  {when: func(c *grant.Redeem) { c.RedirectURI = "" }, refused: true},
		"O05 another verifier":                 {when: func(c *grant.Redeem) { c.Verifier = strings.Repeat("a", 43) }, refused: true},
		"O05 no verifier":                      {when: func(c *grant.Redeem) { c.Verifier = "" }, refused: true},
		"O05 no challenge at authorization":    {given: func(s *grant.State) { s.Challenge = "" }, refused: true},
		"O05 plain: the challenge as verifier": {when: func(c *grant.Redeem) { c.Verifier = challenge }, refused: true},
		"another key":                          {given: func(s *grant.State) { s.Key = "jkt" }, when: func(c *grant.Redeem) { c.Key = "other" }, refused: true},
		"the session has ended":                {when: func(c *grant.Redeem) { c.SessionEnded = true }, refused: true},
		"its key":                              {given: func(s *grant.State) { s.Key = "jkt" }, when: func(c *grant.Redeem) { c.Key = "jkt" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := issued(), redeem()
			if tc.given != nil {
				tc.given(&s)
			}
			if tc.when != nil {
				tc.when(&c)
			}
			after, events, err := c.Decide(s)
			if fault.Is(err, commonv1.Reason_GRANT_REJECTED) != tc.refused || (err != nil) != tc.refused {
				t.Fatalf("error %v", err)
			}
			if got := reason(t, events); got != tc.revokes {
				t.Errorf("revokes by %v, want %v", got, tc.revokes)
			}
			if tc.refused && after != s {
				t.Errorf("refused, and changed to %+v", after)
			}
			if !tc.refused && (after.Status != grant.Redeemed || after.Generation != 1 || !after.RotatedAt.Equal(c.At)) {
				t.Errorf("after %+v", after)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		given   func(*grant.State)
		when    func(*grant.Complete)
		refused bool
	}{
		"given to the device":   {},
		"already":               {given: func(s *grant.State) { s.Status = grant.Redeemed }, refused: true},
		"no such grant":         {given: func(s *grant.State) { s.Status = grant.Absent }, refused: true},
		"revoked":               {given: func(s *grant.State) { s.Status = grant.Revoked }, refused: true},
		"O17 another client's":  {when: func(c *grant.Complete) { c.Client = "cli_2" }, refused: true},
		"the session has ended": {when: func(c *grant.Complete) { c.SessionEnded = true }, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := issued(), grant.Complete{Client: "cli_1", At: start.Add(time.Minute)}
			if tc.given != nil {
				tc.given(&s)
			}
			if tc.when != nil {
				tc.when(&c)
			}
			after, err := c.Decide(s)
			if fault.Is(err, commonv1.Reason_GRANT_REJECTED) != tc.refused || (err != nil) != tc.refused {
				t.Fatalf("error %v", err)
			}
			if !tc.refused && (after.Status != grant.Redeemed || after.Generation != 1 || !after.RotatedAt.Equal(c.At)) {
				t.Errorf("after %+v", after)
			}
		})
	}
}

func TestVerifier(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]string{
		"42 characters": strings.Repeat("a", 42), "129 characters": strings.Repeat("a", 129),
		"a space": strings.Repeat("a", 43) + " ", "not ASCII": strings.Repeat("é", 43), "a null": strings.Repeat("a", 43) + "\x00",
	} {
		if grant.Verifies(challenge, given) {
			t.Errorf("%s: verifies", name)
		}
	}
	if !grant.Verifies(challenge, verifier) {
		t.Error("RFC 7636 appendix B does not verify")
	}
	shared := os.Getenv("MERIDIAN_SHARED")
	content, err := os.ReadFile(filepath.Join(shared, "vectors/rfc/oauth.json"))
	if err != nil {
		t.Log("NOT TESTED: there is no vectors/rfc/oauth.json in MERIDIAN_SHARED")
		return
	}
	var vectors struct {
		PKCE struct {
			Verifier string `json:"verifier"`
			S256     string `json:"s256"`
		} `json:"pkce"`
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	if !grant.Verifies(vectors.PKCE.S256, vectors.PKCE.Verifier) {
		t.Error("the shared vector does not verify")
	}
}

func family() grant.State {
	s := issued()
	s.Status, s.Generation, s.RotatedAt = grant.Redeemed, 5, start
	return s
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		given      func(*grant.State)
		client     string
		generation uint64
		after      time.Duration
		ended      bool
		want       uint64 // the generation to answer with; 0: refused
		revokes    eventv1.Revocation
	}{
		"current token rotates":                    {generation: 5, after: time.Hour, want: 6},
		"previous token within grace":              {generation: 4, after: 10 * time.Second, want: 5},
		"previous token after grace revokes":       {generation: 4, after: 10*time.Second + 1, revokes: eventv1.Revocation_REVOCATION_REFRESH_REUSED},
		"token before the previous revokes":        {generation: 3, after: time.Second, revokes: eventv1.Revocation_REVOCATION_REFRESH_REUSED},
		"no grace: previous token at once":         {given: func(s *grant.State) { s.Grace = 0 }, generation: 4, revokes: eventv1.Revocation_REVOCATION_REFRESH_REUSED},
		"grace has a bound":                        {given: func(s *grant.State) { s.Grace = time.Hour }, generation: 4, after: grant.MaxGrace + 1, revokes: eventv1.Revocation_REVOCATION_REFRESH_REUSED},
		"generation that was never issued":         {generation: 6},
		"generation 0":                             {generation: 0},
		"another client, which revokes nothing":    {client: "cli_2", generation: 3},
		"revoked":                                  {given: func(s *grant.State) { s.Status = grant.Revoked }, generation: 5},
		"code not exchanged":                       {given: func(s *grant.State) { s.Status = grant.Issued }, generation: 5},
		"session ended":                            {generation: 5, ended: true},
		"idle too long":                            {generation: 5, after: 14 * 24 * time.Hour},
		"last moment before idle":                  {generation: 5, after: 14*24*time.Hour - 1, want: 6},
		"rotation does not extend the end":         {given: func(s *grant.State) { s.ExpiresAt = start.Add(time.Minute) }, generation: 5, after: time.Minute},
		"an old token of an expired family":        {generation: 3, after: 14 * 24 * time.Hour},
		"clock going back is no grace for thieves": {generation: 3, after: -time.Hour, revokes: eventv1.Revocation_REVOCATION_REFRESH_REUSED},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := family()
			if tc.given != nil {
				tc.given(&s)
			}
			c := grant.Refresh{Client: "cli_1", Generation: tc.generation, SessionEnded: tc.ended, At: start.Add(tc.after)}
			if tc.client != "" {
				c.Client = tc.client
			}
			after, events, err := c.Decide(s)
			if got := reason(t, events); got != tc.revokes {
				t.Errorf("revokes by %v, want %v", got, tc.revokes)
			}
			if tc.want == 0 {
				if !fault.Is(err, commonv1.Reason_GRANT_REJECTED) || after != s {
					t.Errorf("%+v, error %v", after, err)
				}
				return
			}
			if err != nil || after.Generation != tc.want {
				t.Errorf("generation %d, error %v", after.Generation, err)
			}
		})
	}
}

// Whatever is presented in whatever order: the generation never goes back, a refusal
// changes nothing, and events come with a refusal only.
func FuzzRefresh(f *testing.F) {
	f.Add(uint64(5), int64(time.Second), uint64(5), int64(10*time.Second))
	f.Add(uint64(4), int64(time.Hour), uint64(5), int64(0))
	f.Fuzz(func(t *testing.T, presented uint64, after int64, generation uint64, grace int64) {
		s := family()
		s.Generation, s.Grace = generation, time.Duration(grace)
		next, events, err := grant.Refresh{Client: "cli_1", Generation: presented, At: start.Add(time.Duration(after))}.Decide(s)
		switch {
		case err != nil && next != s, err == nil && len(events) > 0:
			t.Errorf("%+v, %v, %v", next, events, err)
		case err == nil && next.Generation != s.Generation && next.Generation != s.Generation+1:
			t.Errorf("generation %d after %d", next.Generation, s.Generation)
		case err == nil && next.Generation == s.Generation && presented != s.Generation-1:
			t.Errorf("generation %d is answered with the current one, %d", presented, s.Generation)
		}
	})
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	c := grant.Revoke{Reason: eventv1.Revocation_REVOCATION_LOGOUT}
	if events, err := c.Decide(issued()); err != nil || reason(t, events) != eventv1.Revocation_REVOCATION_LOGOUT {
		t.Errorf("%v, %v", events, err)
	}
	if events, err := c.Decide(grant.State{Status: grant.Revoked}); err != nil || len(events) > 0 {
		t.Errorf("twice: %v, %v", events, err)
	}
	if _, err := c.Decide(grant.State{}); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("nothing: %v", err)
	}
}

package meridian_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-jose/go-jose/v4"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
)

const reports = "https://reports.example.com"

// provider is an issuer and a region whose clock is ahead, and that says of revocations
// what its script says.
type provider struct {
	sessionsv1connect.UnimplementedRevocationServiceHandler

	url     string
	ahead   time.Duration
	private *ecdsa.PrivateKey

	mu sync.Mutex
	// asked is what each watch asked for.
	asked []*timestamppb.Timestamp
	// script has what the next watches do.
	script []func(context.Context, *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error
}

func newProvider(t testing.TB, ahead time.Duration) *provider {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{ahead: ahead, private: private}
	mux := http.NewServeMux()
	mux.Handle(sessionsv1connect.NewRevocationServiceHandler(p))
	mux.HandleFunc("GET /oauth2/jwks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *provider) now() time.Time { return time.Now().Add(p.ahead) }

// next adds what a watch does after those before.
func (p *provider) next(do func(context.Context, *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = append(p.script, do)
}

func (p *provider) WatchRevocations(
	ctx context.Context, req *sessionsv1.WatchRevocationsRequest, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse],
) error {
	p.mu.Lock()
	if len(p.script) == 0 {
		p.mu.Unlock()
		return connect.NewError(connect.CodeUnavailable, errors.New("nothing is known here"))
	}
	p.asked = append(p.asked, req.GetAfter())
	do := p.script[0]
	p.script = p.script[1:]
	p.mu.Unlock()
	return do(ctx, stream)
}

// says is a message that is complete up to behind ago.
func (p *provider) says(behind time.Duration, of ...*sessionsv1.Revocation) *sessionsv1.WatchRevocationsResponse {
	return &sessionsv1.WatchRevocationsResponse{
		Revocations: of, SentAt: timestamppb.New(p.now()), CompleteUntil: timestamppb.New(p.now().Add(-behind)),
	}
}

// forever says that nothing ends, until the watch does.
func (p *provider) forever(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
	for ctx.Err() == nil {
		if err := stream.Send(p.says(100 * time.Millisecond)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// token is one of a session that was made a while ago.
func (p *provider) token(t testing.TB, session string, change ...func(map[string]any)) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.private, KeyID: "k"}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	made := p.now().Add(-10 * time.Second).Unix()
	says := map[string]any{
		"iss": p.url, "aud": []string{reports}, "sub": "usr_1", "client_id": "cli_1", "jti": rand.Text(), "sid": session,
		"iat": made, "exp": made + 300, "scope": "read",
	}
	for _, f := range change {
		f(says)
	}
	payload, err := json.Marshal(says)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// verifies runs what verifies the tokens of a provider by what some regions say.
func (p *provider) verifies(t testing.TB, regions ...string) *meridian.AccessTokens {
	t.Helper()
	tokens, err := meridian.Open(meridian.Config{URLs: regions, Token: "token"}).
		AccessTokens(meridian.AccessTokensConfig{Issuers: []string{p.url}, Resources: []string{reports}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := tokens.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); group.Wait() })
	return tokens
}

// becomes waits until a token is answered for a reason; 0: it is taken.
func becomes(t testing.TB, tokens *meridian.AccessTokens, token string, want commonv1.Reason) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		_, err := tokens.Verify(token)
		if err == nil && want == 0 || err != nil && meridian.Is(err, want) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%v, want %v", err, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// The deployment's clock counts, and not that of this machine, which may be wrong.
func TestAccessTokensByTheDeploymentsClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		p := newProvider(t, ahead)
		p.next(p.forever)
		tokens := p.verifies(t, p.url)
		if err := tokens.Ready(); err == nil {
			t.Error("ready before anything is known")
		}
		becomes(t, tokens, p.token(t, "ses_1"), 0)
		if age, known := tokens.Age(); !known || age > 5*time.Second || tokens.Ready() != nil {
			t.Errorf("age %v, %t, %v", age, known, tokens.Ready())
		}
		for name, change := range map[string]func(map[string]any){
			"expired":          func(c map[string]any) { c["iat"], c["exp"] = p.now().Unix()-301, p.now().Unix()-1 },
			"of the future":    func(c map[string]any) { c["iat"], c["exp"] = p.now().Unix()+120, p.now().Unix()+300 },
			"for another":      func(c map[string]any) { c["aud"] = []string{p.url} },
			"of another":       func(c map[string]any) { c["iss"] = "https://id.example.com" },
			"bound to a key":   func(c map[string]any) { c["cnf"] = map[string]any{"jkt": "x"} },
			"bound to another": func(c map[string]any) { c["cnf"] = map[string]any{"x5t#S256": "x"} },
		} {
			if _, err := tokens.Verify(p.token(t, "ses_1", change)); !meridian.Is(err, commonv1.Reason_TOKEN_REJECTED) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestAccessTokensFollowRevocations(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 0)
	revoked := func(session string) *sessionsv1.Revocation {
		return &sessionsv1.Revocation{Kind: sessionsv1.RevocationKind_REVOCATION_KIND_SESSION, Id: session, RevokedAt: timestamppb.New(p.now())}
	}
	first := p.says(0, revoked("ses_1"))
	reached := first.GetCompleteUntil()
	p.next(func(_ context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
		first.CompleteUntil = nil // more follows
		if err := stream.Send(first); err != nil {
			return err
		}
		return stream.Send(&sessionsv1.WatchRevocationsResponse{SentAt: timestamppb.New(p.now()), CompleteUntil: reached})
	})
	p.next(func(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
		if err := stream.Send(p.says(0, revoked("ses_2"))); err != nil {
			return err
		}
		return p.forever(ctx, stream)
	})
	tokens := p.verifies(t, p.url)
	one, two, three := p.token(t, "ses_1"), p.token(t, "ses_2"), p.token(t, "ses_3")
	becomes(t, tokens, three, 0)
	becomes(t, tokens, one, commonv1.Reason_TOKEN_REJECTED)
	becomes(t, tokens, two, commonv1.Reason_TOKEN_REJECTED)
	becomes(t, tokens, three, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) != 2 || p.asked[0] != nil || !p.asked[1].AsTime().Equal(reached.AsTime()) {
		t.Errorf("watches asked for what came after %v, want none and %v", p.asked, reached)
	}
}

// What the contract did not have when this was built may be about any token.
func TestAccessTokensOfAnUnknownRevocation(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]func(*provider) *sessionsv1.WatchRevocationsResponse{
		"a kind that is not known": func(p *provider) *sessionsv1.WatchRevocationsResponse {
			return p.says(0, &sessionsv1.Revocation{Kind: 99, Id: "x", RevokedAt: timestamppb.New(p.now())})
		},
		"everything": func(p *provider) *sessionsv1.WatchRevocationsResponse {
			m := p.says(0)
			m.AllRevokedAt = m.GetSentAt()
			return m
		},
	} {
		p := newProvider(t, 0)
		p.next(func(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
			if err := stream.Send(message(p)); err != nil {
				return err
			}
			return p.forever(ctx, stream)
		})
		tokens := p.verifies(t, p.url)
		becomes(t, tokens, p.token(t, "ses_1"), commonv1.Reason_TOKEN_REJECTED)
		late := func(c map[string]any) { c["iat"], c["exp"] = p.now().Unix()+2, p.now().Unix()+200 }
		if becomes(t, tokens, p.token(t, "ses_1", late), 0); t.Failed() {
			t.Error(name)
		}
	}
}

// Nobody is believed who does not say it now: not one that is silent, that is behind, or
// whose messages are late.
func TestAccessTokensOfRegionsThatAreLost(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 0)
	for name, lose := range map[string]func(context.Context, *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error{
		"silent": func(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
			if err := stream.Send(p.says(0)); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		},
		"late": func(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
			if err := stream.Send(p.says(0)); err != nil {
				return err
			}
			for ctx.Err() == nil {
				late := p.says(0)
				late.SentAt, late.CompleteUntil = timestamppb.New(p.now().Add(-time.Minute)), timestamppb.New(p.now().Add(-time.Minute))
				if err := stream.Send(late); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
			return nil
		},
		"nothing": func(context.Context, *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
			return connect.NewError(connect.CodeUnavailable, errors.New("not known"))
		},
	} {
		near := newProvider(t, 0)
		near.next(lose)
		for range 20 {
			near.next(func(ctx context.Context, _ *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
				<-ctx.Done() // it hangs
				return nil
			})
		}
		tokens := p.verifies(t, near.url, p.url)
		token := p.token(t, "ses_"+name)
		if name != "nothing" {
			becomes(t, tokens, token, 0)
		}
		p.next(func(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
			if err := stream.Send(p.says(0, &sessionsv1.Revocation{
				Kind: sessionsv1.RevocationKind_REVOCATION_KIND_SESSION, Id: "ses_" + name, RevokedAt: timestamppb.New(p.now()),
			})); err != nil {
				return err
			}
			return p.forever(ctx, stream)
		})
		becomes(t, tokens, token, commonv1.Reason_TOKEN_REJECTED)
	}
	alone := newProvider(t, 0)
	alone.next(func(_ context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
		return stream.Send(alone.says(4 * time.Second))
	})
	tokens := alone.verifies(t, alone.url)
	becomes(t, tokens, alone.token(t, "ses_1"), 0)
	becomes(t, tokens, alone.token(t, "ses_1"), commonv1.Reason_SERVICE_UNAVAILABLE)
}

// A clock that is set does not make anything be forgotten: not this machine's, and not that
// of a region which was behind when a stream began.
func TestAccessTokensWhenClocksAreSet(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 0)
	known := accesstoken.NewDeny(nil)
	known.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: "ses_1", NotBefore: p.now().Add(-2 * time.Minute)})
	behind := make(chan time.Duration, 1)
	// serve is what a region does, whose clock is behind when a stream begins.
	serve := func(ctx context.Context, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
		p.mu.Lock()
		after := p.asked[len(p.asked)-1]
		p.mu.Unlock()
		reader := known.Reader(time.Time{})
		if after != nil {
			reader = known.Reader(after.AsTime())
		}
		late := time.Duration(0)
		select {
		case late = <-behind:
		default:
		}
		for ctx.Err() == nil {
			message := p.says(0)
			message.SentAt = timestamppb.New(p.now().Add(-late))
			entries, _ := reader.Next(1000)
			for _, e := range entries {
				message.Revocations = append(message.Revocations, &sessionsv1.Revocation{
					Kind: sessionsv1.RevocationKind_REVOCATION_KIND_SESSION, Id: e.ID, RevokedAt: timestamppb.New(e.NotBefore),
				})
			}
			if err := stream.Send(message); err != nil {
				return err
			}
			late = 0
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond):
			}
		}
		return nil
	}
	for range 10 {
		p.next(serve)
	}
	tokens := p.verifies(t, p.url)
	good := p.token(t, "ses_2")
	old := p.token(t, "ses_1", func(c map[string]any) { c["iat"], c["exp"] = p.now().Unix()-150, p.now().Unix()+140 })
	becomes(t, tokens, good, 0)
	becomes(t, tokens, old, commonv1.Reason_TOKEN_REJECTED)
	tokens.StepClock(7 * time.Minute)
	known.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: "ses_3", NotBefore: p.now()}) // and somebody signs out
	becomes(t, tokens, p.token(t, "ses_3"), commonv1.Reason_TOKEN_REJECTED)
	becomes(t, tokens, p.token(t, "ses_2"), 0)
	if _, err := tokens.Verify(old); !meridian.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("what was revoked before the clock was set: %v", err)
	}

	// The next stream begins by a clock that is ten minutes behind; then no region answers.
	behind <- 10 * time.Minute
	tokens.StepClock(time.Minute)
	short := p.token(t, "ses_4", func(c map[string]any) { c["exp"] = p.now().Unix() + 4 })
	becomes(t, tokens, short, 0)
	becomes(t, tokens, short, commonv1.Reason_TOKEN_REJECTED)
	becomes(t, tokens, p.token(t, "ses_2"), 0)
}

// A region that was not brought to this version yet is passed over.
func TestAccessTokensBesideAnOldRegion(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 0)
	p.next(func(context.Context, *connect.ServerStream[sessionsv1.WatchRevocationsResponse]) error {
		return connect.NewError(connect.CodeUnimplemented, errors.New("no such procedure"))
	})
	p.next(p.forever)
	becomes(t, p.verifies(t, p.url), p.token(t, "ses_1"), 0)
}

func TestAccessTokensNeedNames(t *testing.T) {
	t.Parallel()
	c := meridian.New("https://meridian.example", "token")
	for _, config := range []meridian.AccessTokensConfig{{}, {Issuers: []string{"https://id.example.com"}}, {Resources: []string{reports}}} {
		if _, err := c.AccessTokens(config); err == nil {
			t.Errorf("%+v is taken", config)
		}
	}
}

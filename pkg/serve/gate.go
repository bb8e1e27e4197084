package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// bearerScheme is that of tokens that are good for whoever has them.
	bearerScheme = "Bearer"
	// maxBearer bounds a bearer token, in bytes.
	maxBearer = 4096
	// authenticateTimeout bounds how long it takes to find out who calls.
	authenticateTimeout = 3 * time.Second
	// envelopeBytes is what a body may hold beside its message.
	envelopeBytes = 5
)

// gate finds out who calls, before anything of the body is read.
type gate struct {
	verifier principal.Verifier
	tokens   AccessTokens
	key      *principal.ServiceKey
	methods  *methods
	access   *accessLog
	guesses  *guesses
	sampler  *sampler
	maxBytes int64
	resource *resource // nil: nothing is said of it
	seen     *dpop.Seen
	clock    func() time.Time
}

// admit is a connect.RequestGateFunc. Calls that it refuses never reach the
// interceptors, so it maps and records them itself.
func (g *gate) admit(ctx context.Context, spec connect.Spec, peer connect.Peer, header http.Header) (admitted context.Context, err error) {
	started := g.clock()
	defer func() {
		if value := recover(); value != nil {
			admitted, err = nil, faultconnect.ToConnect(panicked(ctx, g.access.log, spec.Procedure, value))
		}
	}()
	of := g.methods.of(spec)
	caller, err := g.authenticate(ctx, header, of.service)
	if err == nil {
		caller, err = principal.OnBehalf(caller, header)
	}
	if err == nil {
		err = g.fits(visitOf(ctx), caller)
	}
	if err != nil {
		f := g.refused(ctx, outcome{method: of, started: started}, caller, err)
		out := faultconnect.ToConnect(f)
		if challenge := g.resource.challenge(visitOf(ctx).at(), header, f); challenge != "" && tells(spec, peer) {
			out.Meta().Set("WWW-Authenticate", challenge)
		}
		return nil, out
	}
	return principal.With(ctx, caller), nil
}

// refused records a call that is not let in, and returns why.
func (g *gate) refused(ctx context.Context, o outcome, caller principal.Principal, err error) *fault.Fault {
	f := unauthenticated(ctx, err)
	if f.Kind == fault.Internal {
		g.access.log.ErrorContext(ctx, "authentication failed by a defect", slog.Any("error", err))
	}
	o.err = faultconnect.ToConnect(f)
	if caller.Kind == 0 && f.Kind != fault.Internal {
		omitted, line := g.sampler.sample(visitOf(ctx).from())
		o.omitted, o.quiet = omitted, !line
	}
	g.access.record(ctx, o)
	return f
}

// enter finds out who sends a request, and takes a place for it.
func (g *gate) enter(ctx context.Context, header http.Header, audience string) (principal.Principal, error) {
	caller, err := g.authenticate(ctx, header, audience)
	if err == nil && len(header[principal.OnBehalfOfHeader]) > 0 {
		err = fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "nobody may call this on behalf of a user")
	}
	if err == nil {
		err = visitOf(ctx).enter(caller)
	}
	return caller, err
}

// fits says whether there is a place for one more call of this caller, and
// whether its body, as far as its length is said, is short enough.
func (g *gate) fits(v *visit, caller principal.Principal) error {
	if v != nil && !v.stream && v.request.ContentLength > g.maxBytes+envelopeBytes {
		return fault.New(fault.Exhausted, commonv1.Reason_BATCH_TOO_LARGE, "the message is larger than the limit").
			With("field", "body").With("limit", strconv.FormatInt(g.maxBytes, 10))
	}
	return v.enter(caller)
}

// unauthenticated is the fault of an authentication that failed. What is not a
// fault means that it could not be found out who calls.
func unauthenticated(ctx context.Context, err error) *fault.Fault {
	if _, ok := fault.As(err); ok || ctx.Err() != nil {
		return faultconnect.Settle(ctx, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return unverifiable().Because(err)
	}
	return faultconnect.Settle(ctx, err)
}

func unverifiable() *fault.Fault {
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
		"the token cannot be verified right now").Retry(time.Second)
}

func (g *gate) authenticate(ctx context.Context, header http.Header, audience string) (principal.Principal, error) {
	scheme, bearer, err := tokenOf(header)
	if err != nil {
		return principal.Principal{}, err
	}
	v := visitOf(ctx)
	switch {
	case g.tokens != nil && principal.LooksLikeAccessToken(bearer):
		return g.holder(v, header, scheme, bearer)
	case !strings.EqualFold(scheme, bearerScheme):
		return principal.Principal{}, malformed()
	case principal.LooksMinted(bearer):
		return g.key.Verify(bearer, audience)
	case g.verifier == nil:
		return principal.Principal{}, unverifiable()
	}
	if caller, ok := g.known(v, bearer); ok {
		return caller, nil
	}
	if err := g.guesses.allow(g.verifier, bearer, v.from()); err != nil {
		return principal.Principal{}, err
	}
	caller, err := g.verify(ctx, bearer)
	if err != nil {
		g.guesses.count(err, v.from())
		return principal.Principal{}, err
	}
	if v != nil && v.stream && v.recheck == nil {
		v.recheck = func(ctx context.Context) error {
			caller, err := g.verify(ctx, bearer)
			if err != nil {
				return err
			}
			return caller.Usable()
		}
	}
	return caller, nil
}

// holder is who calls with an access token. That is found out from memory, and so again
// while a stream is open.
func (g *gate) holder(v *visit, header http.Header, scheme string, bearer secret.String) (principal.Principal, error) {
	if err := g.guesses.allow(g.tokens, bearer, v.from()); err != nil {
		return principal.Principal{}, err
	}
	claims, err := g.tokens.Verify(bearer)
	if err != nil {
		// Tokens end every few minutes, and whoever shows one that ended made up nothing.
		if !errors.Is(err, accesstoken.ErrOver) {
			g.guesses.count(err, v.from())
		}
		return principal.Principal{}, fmt.Errorf("verify access token: %w", err)
	}
	if claims.Confirmation != nil || !strings.EqualFold(scheme, bearerScheme) {
		if err := g.proves(v, header, scheme, bearer, claims.Confirmation); err != nil {
			return principal.Principal{}, err
		}
		claims.Confirmation = nil // in this copy: there is nothing left to prove
	}
	caller, err := principal.OfAccessToken(claims)
	if err != nil {
		return principal.Principal{}, err
	}
	if v != nil && v.stream && v.recheck == nil {
		v.recheck, v.every = func(context.Context) error {
			_, err := g.tokens.Verify(bearer)
			return err
		}, recheckHolderEvery
	}
	return caller, nil
}

// knower is a verifier that has answers at hand.
type knower interface {
	Known(bearer secret.String) (principal.Principal, bool)
}

// known answers without a question, and without the clock of one: most calls
// come with a token that was seen a moment ago. Streams are left out, whose token
// is verified again.
func (g *gate) known(v *visit, bearer secret.String) (principal.Principal, bool) {
	of, ok := g.verifier.(knower)
	if !ok || v != nil && v.stream {
		return principal.Principal{}, false
	}
	return of.Known(bearer)
}

func (g *gate) verify(ctx context.Context, bearer secret.String) (principal.Principal, error) {
	ctx, cancel := context.WithTimeout(ctx, authenticateTimeout)
	defer cancel()
	caller, err := g.verifier.Verify(ctx, bearer)
	if err != nil {
		return principal.Principal{}, fmt.Errorf("verify token: %w", err)
	}
	return caller, nil
}

// tokenOf is the token of a request, and how it is sent: as Bearer, or as DPoP.
func tokenOf(header http.Header) (scheme string, token secret.String, err error) {
	values := header["Authorization"]
	if len(values) == 0 {
		return "", secret.String{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MISSING, "a bearer token is needed")
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	known := strings.EqualFold(scheme, bearerScheme) || strings.EqualFold(scheme, dpop.Scheme)
	if len(values) > 1 || !known || text == "" || len(text) > maxBearer {
		return "", secret.String{}, malformed()
	}
	return scheme, secret.NewString(text), nil
}

func malformed() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MALFORMED,
		"want one header Authorization: Bearer and a token, or DPoP and an access token")
}

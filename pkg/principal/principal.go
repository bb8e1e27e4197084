// Package principal says who calls: it keeps the caller in the context, decides
// what the caller may do, and lets services vouch for each other.
package principal

import (
	"context"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Kind says what a principal is.
type Kind uint8

// The kinds. The zero Kind is nobody.
const (
	_ Kind = iota
	// APIToken is a bearer token that identity made.
	APIToken
	// Service is a service of this deployment.
	Service
	// Operator is a person at the command line, with the database at hand.
	Operator
	// User is a user who calls with an access token.
	User
	// ServiceAccount is a service account that calls with an access token; one that
	// calls with an API token is an APIToken.
	ServiceAccount
)

// defined says whether there is such a kind; nobody is none.
func (k Kind) defined() bool { return k >= APIToken && k <= ServiceAccount }

// String is the kind in lower case, for logs.
func (k Kind) String() string {
	switch k {
	case APIToken:
		return "api_token"
	case Service:
		return "service"
	case Operator:
		return "operator"
	case User:
		return "user"
	case ServiceAccount:
		return "service_account"
	default:
		return "nobody"
	}
}

// Principal is an authenticated caller. It holds no secret.
type Principal struct {
	Kind Kind
	// ID is the token's id, the service's name or the operator's name; with an access
	// token it is that of the user or service account.
	ID string
	// Organization is the only organization that it reaches; "" is the platform or, with
	// an access token, none.
	Organization string
	// Closed is the state of that organization when it may not be used: suspended,
	// deleting or deleted. Authorize refuses every call then.
	Closed string
	// Level is what it may do at most. With an access token there is none: a check says
	// what the subject may do.
	Level commonv1.Level
	// Scopes are full names of services and procedures that it may call, as
	// meridian.authz.v1.CheckService or meridian.authz.v1.CheckService/Check; none: all.
	// With an access token none is none, and AllScopes is all.
	Scopes []string
	// By is who calls with the access token of the subject: the actor that it names, or
	// else its client. "" without an access token.
	By string
	// ServiceAccount calls with the token, or "". The log records the token.
	ServiceAccount string
	// Via is the service that passed the caller on, or "".
	Via string
	// OnBehalfOf is the user for whom the owner of an API token calls, or "". The
	// call reaches no further than the token does, nor than the user may.
	OnBehalfOf string
	// ForwardedFrom is the region that sent the caller's call on to this one, or
	// "". Unlike Via it is nothing of who acts: no event and no scope has it.
	ForwardedFrom string
	// Expires is when it stops to be valid; zero means not by itself.
	Expires time.Time
}

// Actor is the principal as the log records it.
func (p Principal) Actor() *logv1.Actor {
	if p.OnBehalfOf != "" {
		return &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_USER, Id: p.OnBehalfOf, Via: p.ID}
	}
	kind := logv1.ActorKind_ACTOR_KIND_UNSPECIFIED
	switch p.Kind {
	case APIToken:
		kind = logv1.ActorKind_ACTOR_KIND_API_TOKEN
	case Service:
		kind = logv1.ActorKind_ACTOR_KIND_SERVICE
	case Operator:
		kind = logv1.ActorKind_ACTOR_KIND_OPERATOR
	case User:
		return &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_USER, Id: p.ID, Via: p.By}
	case ServiceAccount:
		return &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE_ACCOUNT, Id: p.ID, Via: p.By}
	}
	return &logv1.Actor{Kind: kind, Id: p.ID, Via: p.Via}
}

// Subject is the user or service account of whose own rights a call makes use: the one
// whose access token it has, or the user on whose behalf it is made. "": its level says
// what it may do.
func (p Principal) Subject() string {
	switch {
	case p.OnBehalfOf != "":
		return p.OnBehalfOf
	case p.Kind == User || p.Kind == ServiceAccount:
		return p.ID
	}
	return ""
}

// Scope is where the principal's idempotency keys are unique: kind:id and, if there
// is one, the user on whose behalf it calls, or who calls with the access token. The service that passed the caller on
// makes no difference.
func (p Principal) Scope() string {
	scope := p.Kind.String() + ":" + p.ID
	if p.OnBehalfOf != "" {
		scope += "/" + p.OnBehalfOf
	}
	if p.By != "" {
		scope += "/" + p.By
	}
	return scope
}

// Counted says whether limits leave the principal's calls alone: a service's own,
// and those that a service passed on or forwarded. The callers for whom it calls
// were counted at the edge.
func (p Principal) Counted() bool { return p.Kind == Service || p.Via != "" || p.ForwardedFrom != "" }

type contextKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, &p)
}

// Without returns a context that carries no caller, for what a service asks on its own
// account.
func Without(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, (*Principal)(nil))
}

// From returns the caller, and false when there is none.
func From(ctx context.Context) (Principal, bool) {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	if p == nil {
		return Principal{}, false
	}
	return *p, true
}

// Verifier finds out whose bearer token this is. The bearer comes without the
// word "Bearer".
//
// Errors: TOKEN_MALFORMED and TOKEN_REJECTED are final. Anything else means
// that it could not be found out.
type Verifier interface {
	Verify(ctx context.Context, bearer secret.String) (Principal, error)
}

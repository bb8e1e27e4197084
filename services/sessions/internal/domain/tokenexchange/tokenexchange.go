// Package tokenexchange decides what a client gets for a token that it was called with:
// a token for the next API, which says for whom it is, and who acts.
//
// Source: RFC 8693.
package tokenexchange

import (
	"slices"
	"time"
)

// AccessToken is the one type of token that is taken and given.
//
// Source: RFC 8693 section 3.
const AccessToken = "urn:ietf:params:oauth:token-type:access_token"

const (
	// MaxActors is how many act for each other at most.
	MaxActors = 4
	// maxTargets bounds what one token is for.
	maxTargets = 10
)

// Codes of errors.
//
// Source: RFC 8693 section 2.2.2; RFC 6749 section 5.2; RFC 8707 section 2.
const (
	InvalidRequest = "invalid_request"
	InvalidScope   = "invalid_scope"
	InvalidTarget  = "invalid_target"
)

// offline is the scope of what outlives a session, which no exchanged token does.
const offline = "offline_access"

// Error is why nothing is given.
type Error struct {
	// Code and Description are for the client. The description quotes nothing.
	Code, Description string
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

func refuse(code, description string) *Error { return &Error{Code: code, Description: description} }

// Actor is who acts for a subject, with which client.
type Actor struct{ Subject, Client string }

// Token is an access token of ours that is good now.
type Token struct {
	Subject string
	// Client is whom it was issued to; Authorized is the client that the subject gave
	// something to, where Client has exchanged that one's token, or "".
	Client, Authorized string
	Organization       string
	Audience, Scopes   []string
	Expires            time.Time
	// Bound: only who has a key can use it.
	Bound bool
	// Actors act for the subject, the one who acts now first.
	Actors []Actor
}

// Client is what of a client a request is held to.
type Client struct {
	ID string
	// Organization owns it; "": the platform's.
	Organization string
	// Scopes are those that it may ask for, Resources the APIs that are its own, or that
	// it may call.
	Scopes, Resources []string
}

// Request is what a client asks for.
type Request struct {
	Client Client
	// SubjectType, ActorType and RequestedType are types of tokens; ActorType goes with an
	// actor token, RequestedType may be "".
	SubjectType, ActorType, RequestedType string
	// Scopes are those asked for; none: all that there are.
	Scopes []string
	// Targets are what it asks for by resource and audience, which name the same things
	// here; none: those of the subject's token that are the client's.
	Targets []string
	// Provider is the issuer, whose own API no token is exchanged for.
	Provider string
	// Proved: the client has proved a key, which the new token is bound to.
	Proved bool
}

// Given is what of the new token is not the subject's token's, unchanged.
type Given struct {
	Audience, Scopes []string
	// Expires is when it ends at the latest.
	Expires time.Time
	// Actors act for the subject, the one who acts now first.
	Actors []Actor
	// Authorized is the client that the subject gave something to.
	Authorized string
}

// Types looks at the types of tokens that are named, before any token is read; actor
// says whether there is an actor's token.
//
// Source: RFC 8693 section 2.1.
func (r Request) Types(actor bool) *Error {
	switch {
	case r.SubjectType != AccessToken:
		return refuse(InvalidRequest, "subject_token_type must be "+AccessToken)
	case actor && r.ActorType != AccessToken:
		return refuse(InvalidRequest, "actor_token_type must be "+AccessToken)
	case !actor && r.ActorType != "":
		return refuse(InvalidRequest, "actor_token_type goes with an actor_token")
	case r.RequestedType != "" && r.RequestedType != AccessToken:
		return refuse(InvalidRequest, "requested_token_type can only be "+AccessToken)
	}
	return nil
}

// Decide returns what the client gets for the subject's token, and with the actor's, if
// there is one. The client always shows as an actor, or the one whose token it presents:
// nobody becomes somebody else. Only tokens that were sent to the client are taken, so
// that having seen one somewhere is worth nothing; and none is worth more afterwards: not
// longer, not for more scopes, and with a key if it was bound to one.
//
// Source: RFC 8693 sections 1.1, 2.1, 4.1 and 5; RFC 9449 section 5.
func (r Request) Decide(subject Token, actor *Token) (Given, *Error) {
	if err := r.Types(actor != nil); err != nil {
		return Given{}, err
	}
	if err := r.takes("subject_token", subject); err != nil {
		return Given{}, err
	}
	acts := Actor{Subject: r.Client.ID, Client: r.Client.ID}
	expires := subject.Expires
	if actor != nil {
		if err := r.actor(subject, *actor); err != nil {
			return Given{}, err
		}
		acts = Actor{Subject: actor.Subject, Client: actor.Client}
		if actor.Expires.Before(expires) {
			expires = actor.Expires
		}
	}
	if len(subject.Actors) >= MaxActors {
		return Given{}, refuse(InvalidRequest, "too many act for each other already")
	}
	scopes, err := r.scopes(subject)
	if err != nil {
		return Given{}, err
	}
	audience, err := r.targets(subject)
	if err != nil {
		return Given{}, err
	}
	authorized := subject.Authorized
	if authorized == "" {
		authorized = subject.Client
	}
	return Given{
		Audience: audience, Scopes: scopes, Expires: expires, Authorized: authorized,
		Actors: append([]Actor{acts}, subject.Actors...),
	}, nil
}

// takes says why a client may not present a token, nil if it may.
func (r Request) takes(what string, t Token) *Error {
	switch {
	case !slices.ContainsFunc(t.Audience, r.own):
		return refuse(InvalidRequest, what+" is not for this client: its aud names neither the client nor one of its resources")
	case r.Client.Organization != "" && t.Organization != r.Client.Organization:
		return refuse(InvalidRequest, what+" is not of the client's organization")
	case t.Bound && !r.Proved:
		return refuse(InvalidRequest, what+" is bound to a key: prove one in the header DPoP, which the new token is bound to")
	}
	return nil
}

// own says whether an audience is the client, or one of its resources.
func (r Request) own(audience string) bool {
	return audience == r.Client.ID || slices.Contains(r.Client.Resources, audience)
}

// actor says why somebody may not act for a subject, nil if they may. A token that is
// the client's own need not have been sent to it.
func (r Request) actor(subject, actor Token) *Error {
	if actor.Client == r.Client.ID {
		actor.Audience = []string{r.Client.ID}
	}
	if err := r.takes("actor_token", actor); err != nil {
		return err
	}
	switch {
	case len(actor.Actors) > 0:
		return refuse(InvalidRequest, "actor_token is one with which somebody else acts")
	case actor.Organization != "" && actor.Organization != subject.Organization:
		return refuse(InvalidRequest, "actor_token is of another organization than subject_token")
	case actor.Subject == subject.Subject:
		return refuse(InvalidRequest, "subject and actor are the same")
	}
	return nil
}

// scopes are those that the subject's token and the client both have, or fewer.
func (r Request) scopes(subject Token) ([]string, *Error) {
	both := slices.DeleteFunc(slices.Clone(subject.Scopes), func(scope string) bool {
		return scope == offline || !slices.Contains(r.Client.Scopes, scope)
	})
	if len(r.Scopes) == 0 {
		return both, nil
	}
	var out []string
	for _, scope := range r.Scopes {
		if !slices.Contains(both, scope) {
			return nil, refuse(InvalidScope, "one of the scopes is not the subject token's, or not the client's")
		}
		if !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	return out, nil
}

// callable says whether the client may call an API with what it gets.
func (r Request) callable(target string) bool {
	return target != r.Provider && slices.Contains(r.Client.Resources, target)
}

// targets are the APIs that the new token is for: the client's, and never the provider.
func (r Request) targets(subject Token) ([]string, *Error) {
	if len(r.Targets) == 0 {
		same := slices.DeleteFunc(slices.Clone(subject.Audience), func(audience string) bool { return !r.callable(audience) })
		if len(same) == 0 {
			return nil, refuse(InvalidTarget, "say by resource or audience what the token is to be for")
		}
		return same, nil
	}
	var out []string
	for _, target := range r.Targets {
		if !r.callable(target) {
			return nil, refuse(InvalidTarget, "one of the resources is not the client's")
		}
		if !slices.Contains(out, target) {
			out = append(out, target)
		}
	}
	if len(out) > maxTargets {
		return nil, refuse(InvalidTarget, "a token is for ten resources at most")
	}
	return out, nil
}

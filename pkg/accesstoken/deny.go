package accesstoken

import (
	"sync"
	"sync/atomic"
	"time"
)

// Kind says what an entry of a Deny is about.
type Kind uint8

// The kinds. Each names the claim that an id is compared with.
const (
	_ Kind = iota
	// Token is one token: jti.
	Token
	// Session is a session: sid.
	Session
	// Grant is what a client was given: gnt.
	Grant
	// Subject is a user or a service account: sub, and the sub of each actor.
	Subject
	// Client is a client: client_id and azp, and the client_id of each actor.
	Client
	// Organization is an organization: org.
	Organization
	// Member is a user in an organization: sub and org.
	Member
	// Key is a signing key: the header's kid.
	Key
	// ClientFor is a client in an organization: Client and org.
	ClientFor
)

// once says whether ids of a kind are never used for something new: what was taken
// back is over for good, whenever a token was made. A token may be made a moment after
// its session was revoked, by somebody who looked a moment before.
func (k Kind) once() bool { return k == Token || k == Session || k == Grant || k == Key }

// Entry says that tokens which name something are refused: all of them or, of what may
// come back, those that were made until then.
type Entry struct {
	Kind Kind
	ID   string
	// Organization is that of a Member or a ClientFor.
	Organization string
	// NotBefore is when it was taken back: tokens made in that second or before are
	// refused.
	NotBefore time.Time
}

const (
	// maxEntries is how many entries are kept at once.
	maxEntries = 200_000
	// maxKeys is how many keys are denied for good.
	maxKeys = 1_000
)

// Deny knows what was taken back in the time for which access tokens live. Its methods
// may be called from many goroutines.
//
// It is bounded: where there is no room the oldest entry goes, and with it, until they
// end, all tokens that were made before that.
//
// Keys are denied for good: who cannot be told the public keys of now goes on with those
// of before, and whoever has a key makes new tokens with it.
type Deny struct {
	clock func() time.Time
	size  int
	// floor is the second up to which every token is refused.
	floor atomic.Int64

	mu      sync.RWMutex
	entries map[name]since
	keys    map[string]struct{}
	// keyOrder has the keys as they were learned.
	keyOrder []string
	// order has the names as they were learned. It is a ring: the first stands at head, and
	// is the one after gone others.
	order      []learned
	head, kept int
	gone       uint64
	// changed is closed when something is learned; nil: nobody waits for that.
	changed chan struct{}
}

// name is what an entry is found by.
type name struct {
	kind         Kind
	id, together string
}

// since is the second in which something was taken back, and which of the names in the
// order stands for it.
type since struct {
	second int64
	until  time.Time
}

type learned struct {
	name  name
	until time.Time
}

// NewDeny makes an empty map. A nil clock is time.Now.
func NewDeny(clock func() time.Time) *Deny { return newDeny(clock, maxEntries) }

func newDeny(clock func() time.Time, size int) *Deny {
	if clock == nil {
		clock = time.Now
	}
	return &Deny{clock: clock, size: size, entries: make(map[name]since), keys: make(map[string]struct{})}
}

// Add takes entries in. One that is known already only gets newer.
func (d *Deny) Add(entries ...Entry) {
	now := d.clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.kept > 0 && !d.order[d.head].until.After(now) {
		d.drop()
	}
	for _, e := range entries {
		if _, stolen := d.keys[e.ID]; e.Kind == Key && e.ID != "" && (stolen || len(d.keys) < maxKeys) {
			if !stolen {
				d.keys[e.ID] = struct{}{}
				d.keyOrder = append(d.keyOrder, e.ID)
			}
			continue
		}
		d.add(e, now)
	}
	d.tell()
}

func (d *Deny) add(e Entry, now time.Time) {
	if e.ID == "" || !e.NotBefore.Add(Keep).After(now) {
		return
	}
	// What is learned late stays a little longer than it must.
	second, until := e.NotBefore.Unix(), later(now, e.NotBefore).Add(Keep)
	n := name{kind: e.Kind, id: e.ID, together: e.Organization}
	known, ok := d.entries[n]
	if ok && known.second >= second {
		return
	}
	if d.kept == d.size {
		d.raise(d.entries[d.order[d.head].name].second)
		d.drop()
	}
	d.push(learned{n, until})
	d.entries[n] = since{second, until}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (d *Deny) push(l learned) {
	if d.kept == len(d.order) {
		grown := make([]learned, min(d.size, max(64, 2*d.kept)))
		n := copy(grown, d.order[d.head:])
		copy(grown[n:], d.order[:d.head])
		d.order, d.head = grown, 0
	}
	d.order[(d.head+d.kept)%len(d.order)] = l
	d.kept++
}

// drop forgets the first of the order, unless it was learned again since.
func (d *Deny) drop() {
	first := d.order[d.head]
	d.order[d.head] = learned{}
	d.head = (d.head + 1) % len(d.order)
	d.kept--
	d.gone++
	if d.entries[first.name].until.Equal(first.until) {
		delete(d.entries, first.name)
	}
}

// DenyUntil refuses every token that was made in the second of t or before: something
// may have been taken back that is not known.
func (d *Deny) DenyUntil(t time.Time) {
	d.raise(t.Unix())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell()
}

func (d *Deny) raise(second int64) {
	for old := d.floor.Load(); second > old; old = d.floor.Load() {
		if d.floor.CompareAndSwap(old, second) {
			return
		}
	}
}

// Check says whether a token that the key kid signed is refused. It allocates nothing.
func (d *Deny) Check(c Claims, kid string) bool { return d.check(&c, kid) }

func (d *Deny) check(c *Claims, kid string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	// With the lock, or what is dropped meanwhile would be in neither.
	if c.IssuedAt <= d.floor.Load() {
		return true
	}
	if _, stolen := d.keys[kid]; stolen {
		return true
	}
	if len(d.entries) == 0 {
		return false
	}
	return d.has(Token, c.ID, "", c.IssuedAt) || d.has(Session, c.Session, "", c.IssuedAt) ||
		d.has(Grant, c.Grant, "", c.IssuedAt) || d.has(Key, kid, "", c.IssuedAt) ||
		d.client(c.Client, c) || d.client(c.Authorized, c) ||
		d.has(Organization, c.Organization, "", c.IssuedAt) ||
		d.subject(c.Subject, c) || d.actors(c)
}

// subject says whether somebody was taken back, everywhere or in the organization.
func (d *Deny) subject(id string, c *Claims) bool {
	return d.has(Subject, id, "", c.IssuedAt) || c.Organization != "" && d.has(Member, id, c.Organization, c.IssuedAt)
}

// client says whether a client was taken back, everywhere or in the organization.
func (d *Deny) client(id string, c *Claims) bool {
	return d.has(Client, id, "", c.IssuedAt) || c.Organization != "" && d.has(ClientFor, id, c.Organization, c.IssuedAt)
}

func (d *Deny) actors(c *Claims) bool {
	for a := c.Actor; a != nil; a = a.Actor {
		if d.subject(a.Subject, c) || d.client(a.Client, c) {
			return true
		}
	}
	return false
}

func (d *Deny) has(kind Kind, id, together string, issued int64) bool {
	if id == "" {
		return false
	}
	known, ok := d.entries[name{kind, id, together}]
	return ok && (kind.once() || issued <= known.second)
}

// Len is how many entries there are.
func (d *Deny) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.entries) + len(d.keys)
}

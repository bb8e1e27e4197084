package principal

import (
	"container/list"
	"iter"
	"sync"
	"time"
)

// maxRefused is how many refused tokens are remembered.
const maxRefused = 10_000

// entries are the tokens that a cache knows, the latest used first.
type entries struct {
	size int

	mu      sync.Mutex
	byKey   map[tokenHash]*list.Element // of *entry, in valid or refused
	valid   *list.List
	refused *list.List
	byID    map[string]map[tokenHash]struct{} // of a token, of its organization and its account
	flying  map[tokenHash]*flight
	dropped *idSet
}

type entry struct {
	key        tokenHash
	principal  Principal
	err        error // of a refusal
	confirmed  time.Time
	pauseUntil time.Time
}

// flight is one question to the upstream. Its answer is set before done closes.
type flight struct {
	done chan struct{}
	// overtaken says, under the entries' lock, that something was forgotten since the
	// upstream was asked.
	overtaken bool
	principal Principal
	err       error
}

// lookedUp is a copy of an entry, or the flight to wait for.
type lookedUp struct {
	entry
	answered bool
	flight   *flight
}

func newEntries(size int) *entries {
	return &entries{
		size: size, byKey: make(map[tokenHash]*list.Element), valid: list.New(), refused: list.New(),
		byID: make(map[string]map[tokenHash]struct{}), flying: make(map[tokenHash]*flight), dropped: newIDSet(size),
	}
}

// lookup returns the entry when it is usable, else the flight; mine says that
// the caller has to fly it.
func (e *entries) lookup(key tokenHash, usable func(*entry) bool) (found lookedUp, mine bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if element, ok := e.byKey[key]; ok {
		known := element.Value.(*entry) //nolint:forcetypeassert // the list holds entries only
		if usable(known) {
			e.listOf(known).MoveToFront(element)
			return lookedUp{entry: *known, answered: true}, false
		}
	}
	if f, ok := e.flying[key]; ok {
		return lookedUp{flight: f}, false
	}
	f := &flight{done: make(chan struct{})}
	e.flying[key] = f
	return lookedUp{flight: f}, true
}

func (e *entries) listOf(of *entry) *list.List {
	if of.err != nil {
		return e.refused
	}
	return e.valid
}

// depart says that a flight asks now.
func (e *entries) depart(f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.overtaken = false
}

// overtaken says whether something was forgotten since a flight asked.
func (e *entries) overtaken(f *flight) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return f.overtaken
}

// confirm keeps a valid token, unless it was dropped meanwhile. An answer that was
// overtaken is not kept.
func (e *entries) confirm(key tokenHash, p Principal, now time.Time) (Principal, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	overtaken := e.flying[key].overtaken
	delete(e.flying, key)
	if e.dropped.has(p.ID) {
		e.remove(key)
		return Principal{}, rejected()
	}
	if overtaken {
		e.remove(key)
		return p, nil
	}
	e.put(&entry{key: key, principal: p, confirmed: now})
	return p, nil
}

func (e *entries) refuse(key tokenHash, err error, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.flying, key)
	e.put(&entry{key: key, err: err, confirmed: now})
}

// pause returns a valid entry that is younger than staleFor, and keeps it in
// use for a while.
func (e *entries) pause(key tokenHash, now time.Time, staleFor, pause time.Duration) (Principal, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.flying, key)
	element, ok := e.byKey[key]
	if !ok {
		return Principal{}, false
	}
	known := element.Value.(*entry) //nolint:forcetypeassert // the list holds entries only
	if known.err != nil || now.Sub(known.confirmed) >= staleFor {
		e.remove(key)
		return Principal{}, false
	}
	known.pauseUntil = now.Add(pause)
	return known.principal, true
}

// young returns a valid entry that is younger than staleFor.
func (e *entries) young(key tokenHash, now time.Time, staleFor time.Duration) (Principal, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	element, ok := e.byKey[key]
	if !ok {
		return Principal{}, false
	}
	known := element.Value.(*entry) //nolint:forcetypeassert // the list holds entries only
	if known.err != nil || now.Sub(known.confirmed) >= staleFor {
		return Principal{}, false
	}
	e.valid.MoveToFront(element)
	return known.principal, true
}

// drop forgets every token of this id, and refuses the id from now on.
func (e *entries) drop(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dropped.add(id)
	for key := range e.byID[id] {
		e.remove(key)
	}
}

// forget removes every token of an id, of an organization's or of an account's.
func (e *entries) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range e.byID[id] {
		e.remove(key)
	}
	// Whose the tokens are that are being asked about is not known yet.
	for _, f := range e.flying {
		f.overtaken = true
	}
}

func (e *entries) put(added *entry) {
	e.remove(added.key)
	into, most := e.listOf(added), e.size
	if added.err != nil {
		most = min(maxRefused, e.size)
	}
	for into.Len() >= most {
		e.remove(into.Back().Value.(*entry).key) //nolint:forcetypeassert // the list holds entries only
	}
	e.byKey[added.key] = into.PushFront(added)
	if added.err == nil {
		for id := range added.principal.ids() {
			keys := e.byID[id]
			if keys == nil {
				keys = make(map[tokenHash]struct{}, 1)
				e.byID[id] = keys
			}
			keys[added.key] = struct{}{}
		}
	}
}

func (e *entries) remove(key tokenHash) {
	element, ok := e.byKey[key]
	if !ok {
		return
	}
	known := element.Value.(*entry) //nolint:forcetypeassert // the list holds entries only
	e.listOf(known).Remove(element)
	delete(e.byKey, key)
	for id := range known.principal.ids() {
		keys := e.byID[id]
		delete(keys, key)
		if len(keys) == 0 {
			delete(e.byID, id)
		}
	}
}

// ids are what a token is forgotten by.
func (p Principal) ids() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, id := range [...]string{p.ID, p.Organization, p.ServiceAccount} {
			if id != "" && !yield(id) {
				return
			}
		}
	}
}

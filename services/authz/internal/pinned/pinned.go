// Package pinned keeps the results of lists for a while, so that the next page
// is of the same revision and costs nothing.
package pinned

import (
	"container/list"
	"sync"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// Config bounds a store.
type Config struct {
	// Life is how long a result is kept after it was used last, MostLife how long
	// in all, however often it is used.
	Life, MostLife time.Duration
	// MaxResults and MaxBytes bound all results; one organization has a quarter
	// of each at most. What was not used for longest goes first.
	MaxResults int
	MaxBytes   int
	Clock      func() time.Time
}

// Key says which list at which state.
type Key struct {
	Organization string
	// Query is any text that says what is listed.
	Query string
	// Sequence is the revision, At when the list was computed, in Unix
	// nanoseconds.
	Sequence uint64
	At       int64
}

// Result is a list, complete and sorted by name.
type Result struct {
	Found []authzcore.Found
	// Model is the model's id.
	Model string
	// Age was that of the revision when the list was computed.
	Age time.Duration
}

// Store keeps results. It is safe for concurrent use.
type Store struct {
	config Config

	mu      sync.Mutex
	byKey   map[Key]*list.Element // of *entry
	recent  *list.List            // the latest used first
	bytes   int
	holders map[string]holding
	// timer is not nil while something is kept.
	timer *time.Timer
}

type entry struct {
	key    Key
	result *Result
	bytes  int
	// used is when it was used last, over when it goes in any case.
	used, over time.Time
}

// holding is what one organization has.
type holding struct{ results, bytes int }

// New returns an empty store.
func New(c Config) *Store {
	return &Store{config: c, byKey: map[Key]*list.Element{}, recent: list.New(), holders: map[string]holding{}}
}

// Get returns a result that is still kept.
func (s *Store) Get(key Key) (*Result, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	element, ok := s.byKey[key]
	if !ok {
		return nil, false
	}
	kept, now := entryOf(element), s.config.Clock()
	if now.After(kept.over) {
		s.remove(element)
		return nil, false
	}
	kept.used = now
	s.recent.MoveToFront(element)
	return kept.result, true
}

// Put keeps a result, if it is small enough to be kept.
func (s *Store) Put(key Key, r *Result) {
	now := s.config.Clock()
	added := &entry{key: key, result: r, bytes: Bytes(r.Found), used: now, over: now.Add(s.config.MostLife)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if old, ok := s.byKey[key]; ok {
		s.remove(old)
	}
	mostResults, mostBytes := max(1, s.config.MaxResults/4), s.config.MaxBytes/4
	if added.bytes > mostBytes {
		return
	}
	for h := s.holders[key.Organization]; h.results+1 > mostResults || h.bytes+added.bytes > mostBytes; h = s.holders[key.Organization] {
		s.remove(s.oldestOf(key.Organization))
	}
	for s.recent.Len()+1 > s.config.MaxResults || s.bytes+added.bytes > s.config.MaxBytes {
		s.remove(s.recent.Back())
	}
	s.byKey[key] = s.recent.PushFront(added)
	s.count(added, 1)
	if s.timer == nil {
		s.timer = time.AfterFunc(s.config.Life+time.Second, s.tick)
	}
}

// tick lets results go in time, whether or not anybody calls, as long as there
// are any.
func (s *Store) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if s.recent.Len() == 0 {
		s.timer = nil
		return
	}
	s.timer.Reset(s.config.Life + time.Second)
}

// Bytes is an estimate of what is kept.
func (s *Store) Bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *Store) expire() {
	before := s.config.Clock().Add(-s.config.Life)
	for last := s.recent.Back(); last != nil && entryOf(last).used.Before(before); last = s.recent.Back() {
		s.remove(last)
	}
}

// oldestOf returns what one organization did not use for longest.
func (s *Store) oldestOf(organization string) *list.Element {
	for e := s.recent.Back(); e != nil; e = e.Prev() {
		if entryOf(e).key.Organization == organization {
			return e
		}
	}
	return s.recent.Back()
}

func (s *Store) remove(element *list.Element) {
	gone := entryOf(element)
	s.recent.Remove(element)
	delete(s.byKey, gone.key)
	s.count(gone, -1)
}

func (s *Store) count(e *entry, sign int) {
	s.bytes += sign * e.bytes
	h := s.holders[e.key.Organization]
	h.results += sign
	h.bytes += sign * e.bytes
	if h.results == 0 {
		delete(s.holders, e.key.Organization)
		return
	}
	s.holders[e.key.Organization] = h
}

func entryOf(element *list.Element) *entry {
	return element.Value.(*entry) //nolint:forcetypeassert // the list holds entries only
}

// Bytes estimates the memory of a list.
func Bytes(found []authzcore.Found) int {
	const overhead, each = 512, 24
	n := overhead + each*len(found)
	for i := range found {
		n += len(found[i].Name)
	}
	return n
}

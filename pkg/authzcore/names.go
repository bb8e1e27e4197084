package authzcore

import (
	"slices"
	"sync"
)

const maxNames = 1<<16 - 1

// Names numbers the names of types, relations and conditions of all models and graphs of one
// process. It is safe for concurrent use. At most 65,535 of each.
type Names struct {
	types      nameTable
	relations  nameTable
	conditions nameTable
	// models lets one model at a time take room.
	models sync.Mutex
	// scratch holds *checker values between checks.
	scratch sync.Pool
}

// NewNames returns an empty table.
func NewNames() *Names {
	return &Names{}
}

// nameTable gives each name a number from 1 up.
type nameTable struct {
	mu    sync.RWMutex
	ids   map[string]uint16
	names []string
}

// intern returns the number of a name, giving it one when it is new.
//
// Errors: ErrNamesFull.
func (t *nameTable) intern(name string) (uint16, error) {
	if id, ok := t.find(name); ok {
		return id, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if id, ok := t.ids[name]; ok {
		return id, nil
	}
	if len(t.names) >= maxNames {
		return 0, ErrNamesFull
	}
	if t.ids == nil {
		t.ids = make(map[string]uint16)
	}
	// The name may be cut from a larger text: keep only its own bytes.
	name = string(append([]byte(nil), name...))
	t.names = append(t.names, name)
	id := uint16(len(t.names))
	t.ids[name] = id
	return id, nil
}

// internAll gives all names of a model their numbers, or none of them when there
// is not enough room for all.
//
// Errors: ErrNamesFull.
func (n *Names) internAll(types, relations, conditions []string) error {
	n.models.Lock()
	defer n.models.Unlock()
	if !n.types.room(types) || !n.relations.room(relations) || !n.conditions.room(conditions) {
		return ErrNamesFull
	}
	if err := n.types.internEach(types); err != nil {
		return err
	}
	if err := n.relations.internEach(relations); err != nil {
		return err
	}
	return n.conditions.internEach(conditions)
}

func (t *nameTable) internEach(names []string) error {
	for _, name := range names {
		if _, err := t.intern(name); err != nil {
			return err
		}
	}
	return nil
}

// room says whether names fit in, those that are new among them.
func (t *nameTable) room(names []string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	missing := map[string]bool{}
	for _, name := range names {
		if _, known := t.ids[name]; !known {
			missing[name] = true
		}
	}
	return len(t.names)+len(missing) <= maxNames
}

func (t *nameTable) find(name string) (uint16, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	id, ok := t.ids[name]
	return id, ok
}

// all returns the names; number n is at n-1. The result is never written to.
func (t *nameTable) all() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clip(t.names)
}

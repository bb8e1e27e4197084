package accesstoken

import "time"

// overlap is how much earlier than the time that it is given a Reader begins: an entry
// bears the time when its event was committed, or a little more, to the second.
const overlap = time.Minute

// Reader reads what a Deny learns, in the order in which it does. It holds nothing: one
// that is slow reads less of what is over by then. It is for one goroutine.
type Reader struct {
	deny *Deny
	// from is the second before which entries are left out.
	from int64
	// at counts the entries that were read, and keys the keys.
	at   uint64
	keys int
}

// Reader reads all that is known and, with a time up to which somebody knows everything,
// what that one may not know. A zero time: nothing is known.
func (d *Deny) Reader(after time.Time) *Reader {
	r := &Reader{deny: d}
	if now := d.clock(); after.After(now) {
		after = now // their clock was ahead: what is learned now they do not know
	}
	if !after.IsZero() {
		r.from = after.Add(-overlap).Unix()
	}
	return r
}

// Next returns the next entries, and whether there are more. It looks at limit of them,
// and leaves out what is known: there may be more although it returns none.
func (r *Reader) Next(limit int) (entries []Entry, more bool) {
	d := r.deny
	d.mu.RLock()
	defer d.mu.RUnlock()
	for ; r.keys < len(d.keyOrder) && len(entries) < limit; r.keys++ {
		entries = append(entries, Entry{Kind: Key, ID: d.keyOrder[r.keys]})
	}
	end := d.gone + uint64(d.kept)
	r.at = max(r.at, d.gone)
	for looked := len(entries); r.at < end && looked < limit; looked++ {
		learned := d.order[(d.head+int(r.at-d.gone))%len(d.order)]
		r.at++
		known := d.entries[learned.name]
		if known.until.Equal(learned.until) && known.second >= r.from { // else it was learned again since
			of := learned.name
			entries = append(entries, Entry{Kind: of.kind, ID: of.id, Organization: of.together, NotBefore: time.Unix(known.second, 0)})
		}
	}
	return entries, r.at < end || r.keys < len(d.keyOrder)
}

// AllUntil is the second up to which every token is refused; zero: none is for its age.
func (d *Deny) AllUntil() time.Time {
	if second := d.floor.Load(); second > 0 {
		return time.Unix(second, 0)
	}
	return time.Time{}
}

// Changed is closed when something is learned that a Reader had not read before the call.
func (d *Deny) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// tell wakes who waits for something to be learned. The lock is held.
func (d *Deny) tell() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

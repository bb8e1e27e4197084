package peoplefile

// Split is split, for comparison with the standard library.
func Split(line []byte, most int) ([]string, error) { return split(line, nil, most) }

// Remember makes a reader remember so many external ids at least.
func (r *Reader) Remember(ids int) { r.seen.least = ids }

// Remembered is how many external ids a reader remembers.
func (r *Reader) Remembered() int { return len(r.seen.young) + len(r.seen.old) }

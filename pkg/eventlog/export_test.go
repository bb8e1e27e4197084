package eventlog

// LockKeys makes the store send PostgreSQL what it sends to a CockroachDB.
func (s *Store) LockKeys() { s.pageLocks = false }

// Package eventlog is the log of events in the database: the commit point of
// everything that Meridian records.
//
// Every owner has a log. Inside a log, events carry a gap-free sequence 1, 2, 3
// and a hash of their predecessor. An append, the state rows that it changes
// and its outbox entry commit in one transaction.
package eventlog

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Config is what a Store needs.
type Config struct {
	// DB holds the schema "log".
	DB *sqldb.DB
	// Region is where this process runs.
	Region string
	// Vault wraps the keys of users. Without it, events with personal data are
	// refused.
	Vault *Vault
	// Clock is the commit clock; nil means time.Now.
	Clock func() time.Time
	// Nudge is called after a Commit, once for each region whose outbox grew. It
	// may be nil and must not block.
	Nudge func(region string)
	// Fingerprint is a keyed hash of a request, the same in all regions: requests
	// have addresses and passwords in them, which could be guessed by a plain one.
	// nil: SHA-256, for where there are none.
	Fingerprint func(request []byte) []byte
	// Types finds the Go types of events; nil means all that are linked into the
	// binary.
	Types Types
}

// Store is the log in the database. It is safe for concurrent use.
type Store struct {
	db     *sqldb.DB
	region string
	vault  *Vault
	clock  func() time.Time
	nudge  func(region string)
	mac    func(request []byte) []byte
	types  Types
	// personal has a *personal for each protoreflect.MessageDescriptor seen.
	personal sync.Map
	lanes    lanes
	// pageLocks: the database locks the pages of an index that it looks at.
	pageLocks bool
}

// New returns a store. It does not touch the database.
func New(c Config) *Store {
	s := &Store{
		db: c.DB, region: c.Region, vault: c.Vault,
		clock: c.Clock, nudge: c.Nudge, mac: c.Fingerprint, types: c.Types,
		pageLocks: c.DB != nil && c.DB.Flavor() == sqldb.PostgreSQL,
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.nudge == nil {
		s.nudge = func(string) {}
	}
	if s.mac == nil {
		s.mac = func(request []byte) []byte {
			sum := sha256.Sum256(request)
			return sum[:]
		}
	}
	if s.types == nil {
		s.types = protoregistry.GlobalTypes
	}
	return s
}

// Now is the time of what is committed now, for rows beside events: to the microsecond,
// as databases keep it.
func (s *Store) Now() time.Time { return s.now() }

// now is the clock in UTC and microseconds, as the database keeps it.
func (s *Store) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

// touchedKey is the context key under which Commit collects the regions whose
// outboxes its work grew.
type touchedKey struct{}

func touch(ctx context.Context, region string) {
	if touched, ok := ctx.Value(touchedKey{}).(map[string]struct{}); ok {
		touched[region] = struct{}{}
	}
}

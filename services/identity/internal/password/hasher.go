// Package password hashes passwords and verifies them, also against hashes that
// other systems made, and decides which passwords are good enough.
//
// New hashes are argon2id in the PHC string format:
//
//	$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>
//
// Package password has no clock and no database. Files are read by Breached
// alone.
package password

import (
	"context"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// What every hash of our own has, in bytes.
const (
	saltBytes = 16
	tagBytes  = 32
)

// Config is how passwords are hashed. The zero Config is a good one.
type Config struct {
	// Params are the cost of new hashes.
	Params Params
	// Limits bound the hashes of other systems.
	Limits Limits
	// Budget is how many bytes all computations together may take at a time;
	// 0 means 256 MiB. It is at least Limits.Memory. Garbage of computations
	// that are over comes on top until the collector has run.
	Budget int64
	// Waiters is how many computations may wait for the budget; 0 means 64, and
	// fewer than 0 means none.
	Waiters int
}

// Hasher hashes and verifies passwords, within one budget of memory. It is safe
// for concurrent use; a process needs one.
type Hasher struct {
	params Params
	limits Limits
	gate   *gate
	// dummy is what nothing matches, at the cost of a hash of our own.
	dummy argon2Hash
}

// New returns a Hasher.
//
// Errors: INVALID_FIELD, with the setting and the rule.
func New(c Config) (*Hasher, error) {
	c.Params, c.Limits = c.Params.withDefaults(), c.Limits.withDefaults()
	if c.Budget == 0 {
		c.Budget = defaultBudget
	}
	if c.Waiters == 0 {
		c.Waiters = defaultWaiters
	}
	if err := c.Limits.validate(); err != nil {
		return nil, err
	}
	if err := c.Params.validate(c.Limits); err != nil {
		return nil, err
	}
	if c.Budget < c.Limits.Memory {
		return nil, fault.Field("budget", "min_budget", "must hold the largest hash that the limits let in")
	}
	return &Hasher{
		params: c.Params,
		limits: c.Limits,
		gate:   newGate(c.Budget, c.Params.memory(), c.Waiters),
		dummy:  argon2Hash{Params: c.Params, salt: random(saltBytes), tag: random(tagBytes), id: true},
	}, nil
}

// Result is what a verification found out.
type Result struct {
	// Match: the candidate is the password.
	Match bool
	// Rehash: it is, and the stored hash is not what Hash makes today. Store
	// Hash's answer instead. Never set for a password that Hash refuses.
	Rehash bool
}

// Hash returns the PHC string to store for a password. The same password gives
// another string each time.
//
// Errors: INVALID_FIELD (password: utf8, null, characters, min_length,
// max_length), RATE_LIMITED when too many wait, and the end of ctx.
func (h *Hasher) Hash(ctx context.Context, password secret.String) (string, error) {
	c, err := read(password)
	if err != nil {
		return "", err
	}
	if c.unstorable != nil {
		return "", c.unstorable
	}
	made := argon2Hash{Params: h.params, salt: random(saltBytes), id: true}
	leave, err := h.gate.enter(ctx, made.memory())
	if err != nil {
		return "", err
	}
	defer leave()
	made.tag = argon2.IDKey([]byte(c.normal), made.salt, made.Passes, made.Memory, made.Parallelism, tagBytes)
	return made.encode(), nil
}

// Verify compares a candidate with a stored hash. An empty hash is an account
// without a password: nothing matches, at the same cost as Dummy.
//
// The candidate is compared as Hash writes it, and, where that differs, as it
// was typed too: other systems do not all normalize. Both are computed always,
// so time tells about the candidate only. Hashes of other systems cost what they
// cost there: until they are replaced, time tells them from an unknown account.
//
// Errors: INVALID_FIELD (password: utf8, null, min_length, max_length),
// RATE_LIMITED when too many wait, the end of ctx, and DEFECT for a stored hash
// that Check refuses. None says anything about the password.
func (h *Hasher) Verify(ctx context.Context, encoded string, candidate secret.String) (Result, error) {
	if encoded == "" {
		return Result{}, h.Dummy(ctx, candidate)
	}
	c, err := read(candidate)
	if err != nil {
		return Result{}, err
	}
	stored, err := parse(encoded, h.limits)
	if err != nil {
		return Result{}, fault.New(fault.Internal, commonv1.Reason_DEFECT, "a stored password hash cannot be read").Because(err)
	}
	match, err := h.compare(ctx, stored, c)
	if err != nil {
		return Result{}, err
	}
	return Result{Match: match, Rehash: match && c.unstorable == nil && !h.current(stored)}, nil
}

// Dummy costs what Verify costs with a hash of our own, and matches nothing. It
// is for accounts that do not exist, so that time does not tell them from others.
//
// Errors: as Verify, without DEFECT.
func (h *Hasher) Dummy(ctx context.Context, candidate secret.String) error {
	c, err := read(candidate)
	if err != nil {
		return err
	}
	_, err = h.compare(ctx, h.dummy, c)
	return err
}

// Check says whether a hash of another system can be imported: whether Verify
// understands it, and can afford it. Nothing is computed.
//
// Errors: INVALID_FIELD (password_hash): max_length, format, algorithm, version,
// parameters, encoding, salt_length, tag_length, max_memory, max_work, max_cost,
// max_iterations, max_parallelism.
func (h *Hasher) Check(encoded string) error {
	_, err := parse(encoded, h.limits)
	return err
}

// compare computes once, or twice for a candidate that normalizes to another.
func (h *Hasher) compare(ctx context.Context, stored hash, c candidate) (bool, error) {
	leave, err := h.gate.enter(ctx, stored.memory())
	if err != nil {
		return false, err
	}
	defer leave()
	match := false
	for _, text := range c.texts() {
		one, err := stored.matches(text)
		if err != nil {
			return false, fmt.Errorf("compute password hash: %w", err)
		}
		match = match || one
	}
	return match, nil
}

// current says whether Hash would make the same, but for its salt.
func (h *Hasher) current(stored hash) bool {
	own, ok := stored.(argon2Hash)
	return ok && own.id && own.Params == h.params && len(own.salt) == saltBytes && len(own.tag) == tagBytes
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return b
}

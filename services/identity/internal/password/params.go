package password

import "github.com/meridian-iam/meridian/pkg/fault"

const (
	kib = int64(1) << 10
	mib = int64(1) << 20

	defaultBudget  = 256 * mib
	defaultWaiters = 64
)

// Params are the cost of an argon2id hash. An absent field has the value that
// OWASP's Password Storage Cheat Sheet recommends.
type Params struct {
	// Memory in KiB; 0 means 19456 (19 MiB).
	Memory uint32
	// Passes over the memory; 0 means 2.
	Passes uint32
	// Parallelism is how many lanes the memory has; 0 means 1.
	Parallelism uint8
}

func (p Params) withDefaults() Params {
	fill(&p.Memory, 19456)
	fill(&p.Passes, 2)
	fill(&p.Parallelism, 1)
	return p
}

// memory in bytes.
func (p Params) memory() int64 { return int64(p.Memory) * kib }

// validate refuses what argon2 does not define, and what the limits forbid: it
// could be written and never verified.
func (p Params) validate(l Limits) error {
	switch {
	case int64(p.Memory) < 8*int64(p.Parallelism):
		return fault.Field("memory", "min_memory", "must be at least 8 KiB for each lane")
	case p.Parallelism > maxParallelism:
		return fault.Field("parallelism", "max_parallelism", "must be at most 64")
	case p.memory() > l.Memory:
		return fault.Field("memory", "max_memory", "is more than the limits allow")
	case int64(p.Passes) > l.Work/p.memory():
		return fault.Field("passes", "max_work", "is more than the limits allow")
	}
	return nil
}

// maxParallelism bounds argon2's lanes, each of which is a goroutine.
const maxParallelism = 64

// Limits bound what one verification may cost. A hash beyond them is refused
// when it is imported, and never computed.
type Limits struct {
	// Memory in bytes; 0 means 256 MiB.
	Memory int64
	// Work is how many bytes of its memory argon2 or scrypt fills in all passes
	// together; 0 means 1 GiB, which takes about a second.
	Work int64
	// Iterations of PBKDF2; 0 means 5,000,000, some seconds.
	Iterations int
	// BcryptCost is the logarithm of bcrypt's rounds; 0 means 16, some seconds.
	BcryptCost int
}

func (l Limits) withDefaults() Limits {
	fill(&l.Memory, 256*mib)
	fill(&l.Work, 1024*mib)
	fill(&l.Iterations, 5_000_000)
	fill(&l.BcryptCost, 16)
	return l
}

func (l Limits) validate() error {
	switch {
	case l.Memory < mib || l.Memory > 4096*mib:
		return fault.Field("limits.memory", "range", "must be 1 MiB to 4 GiB")
	case l.Work < l.Memory || l.Work > 64*1024*mib:
		return fault.Field("limits.work", "range", "must be at least the memory, and at most 64 GiB")
	case l.Iterations < 1 || l.Iterations > 100_000_000:
		return fault.Field("limits.iterations", "range", "must be 1 to 100,000,000")
	case l.BcryptCost < 4 || l.BcryptCost > 20:
		return fault.Field("limits.bcrypt_cost", "range", "must be 4 to 20")
	}
	return nil
}

func fill[T comparable](value *T, preset T) {
	var zero T
	if *value == zero {
		*value = preset
	}
}

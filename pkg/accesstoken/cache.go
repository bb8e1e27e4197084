package accesstoken

import (
	"crypto/sha256"
	"sync"
)

// verified is a token whose signature, issuer and audience are right.
type verified struct {
	claims Claims
	kid    string
}

// cache remembers tokens, by their SHA-256, in two halves: when the younger is full, the
// older is forgotten. What is used moves to the younger.
type cache struct {
	half int

	mu             sync.RWMutex
	younger, older map[[sha256.Size]byte]*verified
}

func newCache(size int) *cache {
	return &cache{half: max(1, size/2), younger: make(map[[sha256.Size]byte]*verified)}
}

// get returns a token that is known, or nil.
func (c *cache) get(key [sha256.Size]byte) *verified {
	c.mu.RLock()
	known, young := c.younger[key]
	if !young {
		known = c.older[key]
	}
	c.mu.RUnlock()
	if known != nil && !young {
		c.put(key, known)
	}
	return known
}

func (c *cache) put(key [sha256.Size]byte, known *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.younger) >= c.half {
		c.older, c.younger = c.younger, make(map[[sha256.Size]byte]*verified, c.half)
	}
	c.younger[key] = known
}

package oidc

import (
	"sync"
	"time"
)

const (
	// guessesPerMinute is how many user codes an address may try that are none; there are
	// 2.6e10 of them.
	guessesPerMinute = 10
	// maxGuessers bounds how many addresses are counted.
	maxGuessers = 10_000
)

// Guesses counts what addresses have tried. The zero Guesses has counted nothing.
type Guesses struct {
	mu    sync.Mutex
	began time.Time
	tried map[string]int
}

// Allow counts a try, and says whether it is one too many in its minute.
func (g *Guesses) Allow(address string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tried == nil || now.Sub(g.began) >= time.Minute || len(g.tried) >= maxGuessers {
		g.began, g.tried = now, map[string]int{}
	}
	g.tried[address]++
	return g.tried[address] <= guessesPerMinute
}

// Forgive takes a try back that was no guess.
func (g *Guesses) Forgive(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tried[address] > 0 {
		g.tried[address]--
	}
}

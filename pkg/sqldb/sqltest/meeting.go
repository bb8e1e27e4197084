package sqltest

import (
	"context"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Meeting makes transactions overlap: none of them commits before all of them
// want to. It is the Tracer of their database. Transactions that conflict are
// seen to, however fast the machine is, and how often they ran is a number that
// a test can know.
//
// It is for transactions that do not wait for each other's locks.
type Meeting struct {
	// Mark is a part of a statement that each of them runs, and no other does.
	Mark string

	mu      sync.Mutex
	wanted  int
	arrived int
	runs    int
	open    chan struct{}
	members map[*pgx.Conn]bool
}

var _ pgx.QueryTracer = (*Meeting)(nil)

// Expect begins a meeting of n transactions. The one before must be over.
func (m *Meeting) Expect(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted, m.arrived, m.runs = n, 0, 0
	m.open, m.members = make(chan struct{}), map[*pgx.Conn]bool{}
}

// Runs is how many transactions ran since Expect: n when each committed the
// first time.
func (m *Meeting) Runs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs
}

// TraceQueryStart implements pgx.QueryTracer. A commit waits in it.
func (m *Meeting) TraceQueryStart(ctx context.Context, conn *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	m.mu.Lock()
	var wait chan struct{}
	switch {
	case m.wanted == 0:
	case strings.Contains(query.SQL, m.Mark):
		if !m.members[conn] {
			m.runs++
		}
		m.members[conn] = true
	case query.SQL == "commit" && m.members[conn], query.SQL == "rollback" && m.members[conn]:
		delete(m.members, conn)
		if m.arrived++; m.arrived == m.wanted {
			close(m.open)
		}
		if query.SQL == "commit" {
			wait = m.open
		}
	}
	m.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (m *Meeting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

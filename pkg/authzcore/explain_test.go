package authzcore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

const wideGroups = `type user
type g
  relations
    define p: [g]
    define m: [user, g#m] or m from p
type f
  relations
    define o: [user]
    define v: [user, g#m] or o
    define both: v and o
    define late: [user, g#m] and w
    define w: [user, g#m] or o
    define not: o but not none
    define none: [g#m]
`

// wide returns a graph in which many groups lead to the same large one.
func wide(t *testing.T) *authzcore.View {
	t.Helper()
	var stored []string
	for i := range 300 {
		stored = append(stored, fmt.Sprintf("g:W#p@g:w%d", i))
		for k := range 300 {
			stored = append(stored, fmt.Sprintf("g:w%d#p@g:w%d_%d", i, i, k))
		}
	}
	for i := range 900 {
		stored = append(stored, fmt.Sprintf("f:d#v@g:u%03d#m", i), fmt.Sprintf("g:u%03d#p@g:W", i), fmt.Sprintf("f:d#w@g:u%03d#m", i))
		if i%100 == 0 {
			stored = append(stored, fmt.Sprintf("f:n#none@g:u%03d#m", i))
		}
	}
	stored = append(stored, "f:d#o@user:u", "f:d#late@user:u", "f:n#o@user:u", "f:e#v@g:last#m", "g:last#p@g:end", "g:end#m@user:u", "f:e#v@g:u001#m")
	return graphOf(t, wideGroups, stored...).View()
}

func TestExplainIsBounded(t *testing.T) {
	v := wide(t)
	for _, q := range []string{"user:u v f:d", "user:u both f:d", "user:u late f:d", "user:u not f:n", "user:u v f:e", "user:x v f:d", "user:x not f:n", "f:n#o not f:n"} {
		ok, err := v.Check(ask(q))
		start := time.Now()
		x, explained := v.Explain(t.Context(), ask(q), authzcore.Circumstances{})
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", q, took)
		}
		if x.Decision.Answer == authzcore.Allow != ok || !errors.Is(explained, err) {
			t.Errorf("%s: %v, %v; explained as %v, %v", q, ok, err, x.Decision, explained)
		}
		if err == nil && x.Root.Allowed != ok {
			t.Errorf("%s: root is %v", q, x.Root.Allowed)
		}
	}
	for _, q := range []string{"user:u v f:d", "user:u both f:d", "user:u v f:e"} {
		if x, err := v.Explain(t.Context(), ask(q), authzcore.Circumstances{}); err != nil || x.Truncated {
			t.Errorf("%s: truncated: %v, %v", q, x.Truncated, err)
		}
	}
}

func TestSearchesStop(t *testing.T) {
	v := wide(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := ask("user:u m g:W")
	if _, err := v.Decide(ctx, q, authzcore.Circumstances{}); !errors.Is(err, context.Canceled) {
		t.Errorf("check: %v", err)
	}
	if _, err := v.Explain(ctx, q, authzcore.Circumstances{}); !errors.Is(err, context.Canceled) {
		t.Errorf("explain: %v", err)
	}
	if x, err := v.Decide(t.Context(), q, authzcore.Circumstances{}); x.Answer != authzcore.Deny || err != nil {
		t.Errorf("after it: %v, %v", x, err)
	}
}

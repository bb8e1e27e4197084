package faults_test

import (
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// The whole of it, database included, is killed again and again in the middle
// of writes.
func TestMeridianKilledInALoop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := harness.StartDev(t, dir)
	first := open(t, d.Client(), "loop")
	all := answers{revisions: map[string]string{}, errors: map[string]error{}}
	for round := range 10 {
		o := organization{id: first.id, client: d.Client()}
		w := startWriters(t, o, "loop-"+string(rune('a'+round)))
		w.acknowledged(t, 20)
		d.Kill(t)
		w.failed(t, writerCount)
		w.end()
		for user, revision := range w.revisions {
			all.note(user, revision, nil)
		}
		// The first error of a writer is of the call that was cut off; after it
		// nobody listened.
		for user, err := range w.errors {
			all.note(user, "", err)
		}
		d = harness.StartDev(t, dir)
	}
	o := organization{id: first.id, client: d.Client()}
	w := &writers{answers: answers{revisions: all.revisions, errors: all.errors}}
	w.settle(t, o)
	verify(t, d.URL, d.AdminToken)
}

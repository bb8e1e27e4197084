package accesstoken_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
)

// readAll reads until there is no more, a few at a time.
func readAll(r *accesstoken.Reader) (ids []string) {
	for more := true; more; {
		var entries []accesstoken.Entry
		entries, more = r.Next(3)
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func subjects(from, to int, at time.Time) (entries []accesstoken.Entry) {
	for i := from; i < to; i++ {
		entries = append(entries, accesstoken.Entry{Kind: accesstoken.Subject, ID: fmt.Sprint("usr_", i), NotBefore: at})
	}
	return entries
}

func TestReader(t *testing.T) {
	t.Parallel()
	at := now
	d := accesstoken.NewDeny(func() time.Time { return at })
	early := d.Reader(time.Time{})
	if ids := readAll(early); len(ids) != 0 {
		t.Fatalf("of an empty map: %q", ids)
	}
	d.Add(subjects(0, 4, now)...)
	d.Add(accesstoken.Entry{Kind: accesstoken.Key, ID: "stolen"}, accesstoken.Entry{Kind: accesstoken.Key, ID: "stolen"})
	if ids := readAll(early); !slices.Equal(ids, []string{"stolen", "usr_0", "usr_1", "usr_2", "usr_3"}) {
		t.Errorf("what was learned meanwhile: %q", ids)
	}
	at = now.Add(2 * time.Minute)
	d.Add(subjects(1, 2, at)...) // again
	d.Add(subjects(4, 6, at)...)
	if ids := readAll(early); !slices.Equal(ids, []string{"usr_1", "usr_4", "usr_5"}) {
		t.Errorf("what was learned since: %q", ids)
	}
	// Who knows everything up to a time is told what is of later, of a minute before it, and all keys.
	if ids := readAll(d.Reader(at)); !slices.Equal(ids, []string{"stolen", "usr_1", "usr_4", "usr_5"}) {
		t.Errorf("after %v: %q", at.Sub(now), ids)
	}
	if ids := readAll(d.Reader(now.Add(time.Minute))); len(ids) != 7 {
		t.Errorf("after a minute: %q", ids)
	}
	// Whose clock was ahead knows nothing of what is learned now.
	if ids := readAll(d.Reader(at.Add(time.Hour))); len(ids) != 4 {
		t.Errorf("after a time that is to come: %q", ids)
	}
	at = now.Add(accesstoken.Keep)
	d.Add()
	if ids := readAll(d.Reader(time.Time{})); !slices.Equal(ids, []string{"stolen", "usr_1", "usr_4", "usr_5"}) {
		t.Errorf("when the first are over: %q", ids)
	}
}

// A reader that was not heard of while what it had not read was dropped for want of room
// is told that all until then is refused.
func TestReaderOfABoundedMap(t *testing.T) {
	t.Parallel()
	at := now
	d := accesstoken.NewDenyOf(func() time.Time { return at }, 10)
	r := d.Reader(time.Time{})
	if !d.AllUntil().IsZero() {
		t.Error("all tokens are refused from the start")
	}
	for i := range 25 {
		at = now.Add(time.Duration(i) * time.Second)
		d.Add(subjects(i, i+1, at)...)
	}
	ids := readAll(r)
	if len(ids) != 10 || ids[0] != "usr_15" || ids[9] != "usr_24" {
		t.Errorf("%q", ids)
	}
	if want := now.Add(14 * time.Second).Truncate(time.Second); !d.AllUntil().Equal(want) {
		t.Errorf("all until %v, want %v", d.AllUntil(), want)
	}
}

// Whatever is added at whatever moment, a reader that waits for changes has all of it.
func TestReaderMissesNothing(t *testing.T) {
	t.Parallel()
	d := accesstoken.NewDeny(func() time.Time { return now })
	const adders, each = 4, 500
	var group sync.WaitGroup
	for i := range adders {
		group.Go(func() {
			for j := range each {
				d.Add(subjects(i*each+j, i*each+j+1, now)...)
			}
		})
	}
	r, seen := d.Reader(time.Time{}), map[string]bool{}
	for len(seen) < adders*each {
		changed := d.Changed()
		for _, id := range readAll(r) {
			seen[id] = true
		}
		if len(seen) == adders*each {
			break
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	group.Wait()
	changed := d.Changed()
	d.DenyUntil(now)
	<-changed
}

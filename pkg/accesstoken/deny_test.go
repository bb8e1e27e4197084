package accesstoken_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
)

func TestDeny(t *testing.T) {
	t.Parallel()
	made := now.Add(-time.Minute)
	token := accesstoken.Claims{
		ID: "tok_1", Session: "ses_1", Grant: "gnt_1", Subject: "usr_1", Client: "cli_1", Organization: "org_1", IssuedAt: made.Unix(),
		Authorized: "cli_2",
		Actor:      &accesstoken.Actor{Subject: "usr_2", Actor: &accesstoken.Actor{Subject: "svc_3", Client: "cli_3"}},
	}
	const kid = "k1"
	for name, tc := range map[string]struct {
		kind         accesstoken.Kind
		id, together string
		// later: a token that is made later is refused too.
		denied, later bool
	}{
		"token":                       {accesstoken.Token, "tok_1", "", true, true},
		"session":                     {accesstoken.Session, "ses_1", "", true, true},
		"grant":                       {accesstoken.Grant, "gnt_1", "", true, true},
		"key":                         {accesstoken.Key, kid, "", true, true},
		"subject":                     {accesstoken.Subject, "usr_1", "", true, false},
		"client":                      {accesstoken.Client, "cli_1", "", true, false},
		"organization":                {accesstoken.Organization, "org_1", "", true, false},
		"member":                      {accesstoken.Member, "usr_1", "org_1", true, false},
		"client before the exchange":  {accesstoken.Client, "cli_2", "", true, false},
		"client in the organization":  {accesstoken.ClientFor, "cli_1", "org_1", true, false},
		"client before, in it":        {accesstoken.ClientFor, "cli_2", "org_1", true, false},
		"actor's client, in it":       {accesstoken.ClientFor, "cli_3", "org_1", true, false},
		"client in another":           {accesstoken.ClientFor, "cli_1", "org_2", false, false},
		"actor":                       {accesstoken.Subject, "usr_2", "", true, false},
		"actor's actor":               {accesstoken.Subject, "svc_3", "", true, false},
		"actor's client":              {accesstoken.Client, "cli_3", "", true, false},
		"actor, as a member":          {accesstoken.Member, "usr_2", "org_1", true, false},
		"another token":               {accesstoken.Token, "tok_2", "", false, false},
		"another session":             {accesstoken.Session, "ses_2", "", false, false},
		"another key":                 {accesstoken.Key, "k2", "", false, false},
		"another organization":        {accesstoken.Organization, "org_2", "", false, false},
		"member of another":           {accesstoken.Member, "usr_1", "org_2", false, false},
		"another member":              {accesstoken.Member, "usr_3", "org_1", false, false},
		"an id of another kind":       {accesstoken.Session, "gnt_1", "", false, false},
		"nothing":                     {accesstoken.Session, "", "", false, false},
		"an organization, of no kind": {accesstoken.Subject, "org_1", "", false, false},
	} {
		for when, at := range map[string]time.Time{"before": made.Add(-time.Second), "in that second": made, "after": made.Add(time.Second)} {
			d := accesstoken.NewDeny(func() time.Time { return now })
			d.Add(accesstoken.Entry{Kind: tc.kind, ID: tc.id, Organization: tc.together, NotBefore: at})
			want := tc.denied && (tc.later || when != "before")
			if got := d.Check(token, kid); got != want {
				t.Errorf("%s, taken back %s it was made: denied %t, want %t", name, when, got, want)
			}
		}
	}
}

// What names nothing matches nothing.
func TestDenyOfNothing(t *testing.T) {
	t.Parallel()
	d := accesstoken.NewDeny(func() time.Time { return now })
	d.Add(accesstoken.Entry{Kind: accesstoken.Member, ID: "usr_1", NotBefore: now}, accesstoken.Entry{Kind: accesstoken.Session, NotBefore: now})
	if d.Check(accesstoken.Claims{Subject: "usr_1", IssuedAt: now.Unix()}, "") {
		t.Error("a token of no organization is a member's")
	}
}

func TestDenyUntil(t *testing.T) {
	t.Parallel()
	d := accesstoken.NewDeny(func() time.Time { return now })
	d.DenyUntil(now)
	d.DenyUntil(now.Add(-time.Hour))
	if !d.Check(accesstoken.Claims{IssuedAt: now.Unix()}, "k") || d.Check(accesstoken.Claims{IssuedAt: now.Unix() + 1}, "k") {
		t.Error("it is not up to that second")
	}
}

// Entries are kept for as long as a token can live that they are about, however often
// they come, and no longer.
func TestDenyForgets(t *testing.T) {
	t.Parallel()
	at := now
	d := accesstoken.NewDeny(func() time.Time { return at })
	entry := func(id string) accesstoken.Entry {
		return accesstoken.Entry{Kind: accesstoken.Subject, ID: id, NotBefore: at}
	}
	denied := func(id string) bool { return d.Check(accesstoken.Claims{Subject: id, IssuedAt: now.Unix()}, "k") }
	d.Add(entry("usr_1"), entry("usr_2"))
	at = at.Add(accesstoken.Keep / 2)
	d.Add(entry("usr_1"), entry("usr_1"), entry("usr_3"))
	d.Add(accesstoken.Entry{Kind: accesstoken.Subject, ID: "usr_1", NotBefore: now.Add(-time.Minute)}) // late
	if !denied("usr_1") || !denied("usr_2") || !denied("usr_3") || d.Len() != 3 {
		t.Errorf("%d entries", d.Len())
	}
	at = now.Add(accesstoken.Keep)
	d.Add(entry("usr_4"))
	if !denied("usr_1") || denied("usr_2") || !denied("usr_3") || d.Len() != 3 {
		t.Errorf("one is over: %d entries", d.Len())
	}
	at = at.Add(accesstoken.Keep / 2)
	d.Add()
	if denied("usr_1") || denied("usr_3") || !denied("usr_4") || d.Len() != 1 {
		t.Errorf("all but one are over: %d entries", d.Len())
	}
	d.Add(accesstoken.Entry{Kind: accesstoken.Subject, ID: "usr_5", NotBefore: at.Add(-accesstoken.Keep)})
	if d.Len() != 1 {
		t.Error("what is over is taken in")
	}
}

// A key that somebody else has signs whenever they want, and who cannot be told which
// keys are public now takes it until then.
func TestDenyForgetsNoKey(t *testing.T) {
	t.Parallel()
	at := now
	d := accesstoken.NewDeny(func() time.Time { return at })
	d.Add(accesstoken.Entry{Kind: accesstoken.Key, ID: "stolen", NotBefore: at})
	for range 10 {
		at = at.Add(accesstoken.Keep)
		d.Add(accesstoken.Entry{Kind: accesstoken.Subject, ID: "usr_1", NotBefore: at})
		if !d.Check(accesstoken.Claims{IssuedAt: at.Unix()}, "stolen") || d.Check(accesstoken.Claims{IssuedAt: at.Unix()}, "k") {
			t.Fatalf("after %v", at.Sub(now))
		}
	}
}

// Where there is no room the oldest goes, and its tokens are refused all the same.
func TestDenyIsBounded(t *testing.T) {
	t.Parallel()
	at := now
	d := accesstoken.NewDenyOf(func() time.Time { return at }, 100)
	for i := range 150 {
		at = now.Add(time.Duration(i) * time.Second)
		d.Add(accesstoken.Entry{Kind: accesstoken.Subject, ID: fmt.Sprint("usr_", i), NotBefore: at})
	}
	if d.Len() != 100 {
		t.Errorf("%d entries, want 100", d.Len())
	}
	for i := range 150 {
		made := now.Add(time.Duration(i) * time.Second).Unix()
		if !d.Check(accesstoken.Claims{Subject: fmt.Sprint("usr_", i), IssuedAt: made}, "k") {
			t.Errorf("entry %d is forgotten", i)
		}
	}
	if d.Check(accesstoken.Claims{Subject: "usr_x", IssuedAt: now.Add(50 * time.Second).Unix()}, "k") {
		t.Error("tokens are refused that were made after what was dropped")
	}
}

// What is dropped for want of room while somebody asks is in the map, or all of its time
// is refused.
func TestDenyDropsWhileAsked(t *testing.T) {
	t.Parallel()
	var at atomic.Int64
	at.Store(now.Unix())
	clock := func() time.Time { return time.Unix(at.Load(), 0) }
	d := accesstoken.NewDenyOf(clock, 1)
	for i := range 500 {
		id := fmt.Sprint("usr_", i)
		d.Add(accesstoken.Entry{Kind: accesstoken.Subject, ID: id, NotBefore: clock()})
		token := accesstoken.Claims{Subject: id, IssuedAt: at.Load()}
		var asking sync.WaitGroup
		stop := make(chan struct{})
		asking.Go(func() {
			for {
				if !d.Check(token, "k") {
					t.Errorf("%s is taken", id)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		for range 20 {
			d.Add(accesstoken.Entry{Kind: accesstoken.Subject, ID: fmt.Sprint("other_", i), NotBefore: clock()})
		}
		close(stop)
		asking.Wait()
		at.Add(1)
	}
}

func TestDenyTogether(t *testing.T) {
	t.Parallel()
	d := accesstoken.NewDenyOf(func() time.Time { return now }, 50)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 500 {
				id := fmt.Sprint("ses_", i, "_", j)
				d.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: id, NotBefore: now})
				if !d.Check(accesstoken.Claims{Session: id, IssuedAt: now.Unix()}, "k") {
					t.Error("not denied")
				}
			}
		})
	}
	group.Wait()
}

func TestDenyCheckAllocatesNothing(t *testing.T) {
	d := accesstoken.NewDeny(func() time.Time { return now })
	for i := range 1000 {
		d.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: fmt.Sprint("ses_", i), NotBefore: now})
	}
	token := accesstoken.Claims{ID: "t", Session: "s", Grant: "g", Subject: "u", Client: "c", Organization: "o", IssuedAt: now.Unix(), Actor: &accesstoken.Actor{Subject: "a"}}
	if n := testing.AllocsPerRun(100, func() {
		if d.Check(token, "k") {
			t.Error("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

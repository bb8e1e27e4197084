package signingkey_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/signingkey"
)

var (
	start  = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	policy = signingkey.Standard()
)

func key(kid string, status signingkey.Status, activeAt time.Time) signingkey.State {
	return signingkey.State{KID: kid, Region: "eu", Algorithm: "ES256", Status: status, ActiveAt: activeAt}
}

func TestNext(t *testing.T) {
	t.Parallel()
	end := start.Add(policy.Life)
	resting := key("old", signingkey.Inactive, start.Add(-policy.Life))
	resting.DeleteAt = start.Add(policy.Keep)
	for name, tc := range map[string]struct {
		keys []signingkey.State
		now  time.Time
		want signingkey.Plan
	}{
		"the first signs at once":       {now: start, want: signingkey.Plan{Make: signingkey.Make{Due: true, ActiveAt: start}}},
		"the first is activated":        {keys: []signingkey.State{key("a", signingkey.Initial, start)}, now: start, want: signingkey.Plan{Activate: "a"}},
		"one signs":                     {keys: []signingkey.State{key("a", signingkey.Active, start)}, now: start.Add(time.Hour)},
		"the next is made before":       {keys: []signingkey.State{key("a", signingkey.Active, start)}, now: end.Add(-policy.Publish), want: signingkey.Plan{Make: signingkey.Make{Due: true, ActiveAt: end}}},
		"the next is made late":         {keys: []signingkey.State{key("a", signingkey.Active, start)}, now: end.Add(time.Hour), want: signingkey.Plan{Make: signingkey.Make{Due: true, ActiveAt: end.Add(time.Hour + policy.Publish)}}},
		"the next waits":                {keys: []signingkey.State{key("a", signingkey.Active, start), key("b", signingkey.Initial, end)}, now: end.Add(-1)},
		"the next takes over":           {keys: []signingkey.State{key("a", signingkey.Active, start), key("b", signingkey.Initial, end)}, now: end, want: signingkey.Plan{Activate: "b", Deactivate: []string{"a"}}},
		"two sign, which must not be":   {keys: []signingkey.State{key("a", signingkey.Active, start), key("b", signingkey.Active, start.Add(1))}, now: start.Add(time.Hour), want: signingkey.Plan{Deactivate: []string{"a"}}},
		"what was signed is verified":   {keys: []signingkey.State{key("b", signingkey.Active, start), resting}, now: start.Add(policy.Keep - 1)},
		"what rested goes":              {keys: []signingkey.State{key("b", signingkey.Active, start), resting}, now: start.Add(policy.Keep), want: signingkey.Plan{Delete: []string{"old"}}},
		"none signs: who waits does":    {keys: []signingkey.State{key("b", signingkey.Initial, end)}, now: start, want: signingkey.Plan{Activate: "b"}},
		"all are gone":                  {keys: []signingkey.State{key("a", signingkey.Deleted, start)}, now: start.Add(time.Hour), want: signingkey.Plan{Make: signingkey.Make{Due: true, ActiveAt: start.Add(time.Hour)}}},
		"clock goes back: nothing ends": {keys: []signingkey.State{key("a", signingkey.Active, start), resting}, now: start.Add(-24 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := signingkey.Next(tc.keys, policy, tc.now); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

// world keeps keys as a process does that looks now and then.
type world struct {
	keys []signingkey.State
	made int
}

func (w *world) step(now time.Time) {
	for range 5 {
		plan := signingkey.Next(w.keys, policy, now)
		if plan.Make.Due {
			w.made++
			var k signingkey.State
			k.Apply(&eventv1.SigningKeyCreated{
				Kid: fmt.Sprintf("eu.%d", w.made), Region: "eu", Algorithm: "ES256", ActiveAt: timestamppb.New(plan.Make.ActiveAt),
			})
			w.keys = append(w.keys, k)
		}
		for i := range w.keys {
			k := &w.keys[i]
			k.Apply(&eventv1.SigningKeyActivated{Kid: plan.Activate})
			for _, kid := range plan.Deactivate {
				k.Apply(&eventv1.SigningKeyDeactivated{Kid: kid, DeleteAt: timestamppb.New(now.Add(policy.Keep))})
			}
			for _, kid := range plan.Delete {
				k.Apply(&eventv1.SigningKeyDeleted{Kid: kid})
			}
		}
	}
}

// However seldom somebody looks: one key signs, it was published before but for the
// first, and what it signed is verified for as long as a token lives.
func TestOneSignsAtAnyTime(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var w world
	published, lastSigned := map[string]time.Time{}, map[string]time.Time{}
	for now := start; now.Before(start.Add(3 * 365 * 24 * time.Hour)); now = now.Add(time.Duration(random.Int64N(int64(36 * time.Hour)))) {
		w.step(now)
		signing := ""
		for _, k := range w.keys {
			if _, seen := published[k.KID]; !seen {
				published[k.KID] = now
			}
			switch {
			case k.Status == signingkey.Active && signing != "":
				t.Fatalf("%s: %s and %s sign", now, signing, k.KID)
			case k.Status == signingkey.Active:
				signing, lastSigned[k.KID] = k.KID, now
				if age := now.Sub(published[k.KID]); k.KID != "eu.1" && age < policy.Publish {
					t.Fatalf("%s signs %s after it was published", k.KID, age)
				}
			case k.Status == signingkey.Deleted && now.Sub(lastSigned[k.KID]) < policy.Keep:
				t.Fatalf("%s went %s after it signed", k.KID, now.Sub(lastSigned[k.KID]))
			}
		}
		if signing == "" {
			t.Fatalf("%s: none signs", now)
		}
	}
	if w.made < 30 || w.made > 40 {
		t.Errorf("%d keys in three years", w.made)
	}
}

func TestAnEmergencyEndsAllKeys(t *testing.T) {
	t.Parallel()
	keys := []signingkey.State{
		key("gone", signingkey.Deleted, start), key("rests", signingkey.Inactive, start),
		key("signs", signingkey.Active, start), key("waits", signingkey.Initial, start),
	}
	events, err := signingkey.Rotate{Policy: policy, Emergency: true, At: start, Made: signingkey.Made{KID: "new", Region: "eu", Algorithm: "ES256"}}.Decide(keys)
	if err != nil {
		t.Fatal(err)
	}
	ended := map[string]bool{}
	for _, e := range events {
		if d, ok := e.(*eventv1.SigningKeyDeleted); ok {
			ended[d.GetKid()] = d.GetEmergency()
		}
	}
	if want := map[string]bool{"rests": true, "signs": true, "waits": true}; !reflect.DeepEqual(ended, want) {
		t.Errorf("ended %v", ended)
	}
}

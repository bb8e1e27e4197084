package party_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
)

func TestParty(t *testing.T) {
	t.Parallel()
	one := party.Party{ID: id.New(id.Client), Organization: id.New(id.Organization)}
	forgetful := t.Context()
	party.Found(forgetful, one)
	if got := party.Of(forgetful); got != (party.Party{}) {
		t.Errorf("a context that does not remember has %v", got)
	}
	ctx := party.Remember(forgetful)
	if got := party.Of(ctx); got != (party.Party{}) {
		t.Errorf("before: %v", got)
	}
	party.Found(ctx, one)
	party.Found(ctx, party.Party{})
	if got := party.Of(ctx); got != one {
		t.Errorf("after: %v, want %v", got, one)
	}
}

func TestRegistered(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		id.New(id.Client): true, id.New(id.Trust): true, "https://agent.example/client.json": false, "": false,
	} {
		if got := (party.Party{ID: name}).Registered(); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

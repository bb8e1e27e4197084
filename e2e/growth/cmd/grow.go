package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-iam/meridian/e2e/growth"
	"github.com/meridian-iam/meridian/e2e/load/usage"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// model of every organization: a permission is found through a folder and a
// group.
const model = `model
  schema 1.1
type user
type group
  relations
    define member: [user]
type folder
  relations
    define viewer: [user, group#member]
type document
  relations
    define parent: [folder]
    define owner: [user]
    define viewer: [user] or owner or viewer from parent
`

// relationships of every organization.
func relationships() []*authzv1.RelationshipUpdate {
	return []*authzv1.RelationshipUpdate{
		meridian.Touch("group:staff", "member", "user:anna"),
		meridian.Touch("folder:plans", "viewer", "group:staff#member"),
		meridian.Touch("document:one", "parent", "folder:plans"),
		meridian.Touch("document:one", "owner", "user:otto"),
		meridian.Touch("document:two", "viewer", "user:paul"),
	}
}

// eventsEach: created, the model assigned, relationships written.
const eventsEach = 3

// organization is one that was made.
type organization struct{ id, home string }

// grower makes organizations, spread over the home regions.
type grower struct {
	d       *deployment
	workers int
	left    time.Duration // of the limit

	begun   int
	limited atomic.Uint64
	mu      sync.Mutex
	made    []organization
}

// grow makes organizations until there are as many as wanted, or the time is up.
func (g *grower) grow(ctx context.Context, s *growth.Step) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	backlog := g.d.watchBacklog(watching)
	before, limited := len(g.made), g.limited.Load()
	bounded, cancel := context.WithTimeout(ctx, g.left)
	defer cancel()
	again, err := g.d.rolledBack(ctx)
	if err != nil {
		return err
	}
	began, machine, ours := time.Now(), usage.Machine(), g.d.ours()
	base := g.begun
	err = parallel(bounded, g.workers, s.Wanted-before, func(_ context.Context, i int) error {
		if bounded.Err() != nil {
			return bounded.Err()
		}
		// What was begun is finished, after the limit too.
		return g.one(ctx, base+i)
	})
	g.begun += s.Wanted - before
	took := time.Since(began)
	foreign := (usage.Machine() - machine) - (g.d.ours() - ours)
	g.left -= took
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		s.Why = "the time limit"
	case err != nil:
		return err
	}
	s.Organizations = len(g.made)
	s.Creation = growth.Creation{
		Organizations: len(g.made) - before, Seconds: took.Seconds(),
		Events: uint64(len(g.made)-before) * eventsEach, Limited: g.limited.Load() - limited,
		Foreign: foreign.Seconds() / took.Seconds(),
	}
	drain, err := g.d.drained(ctx)
	s.Creation.Drain = drain.Seconds()
	stop()
	s.Creation.Backlog = <-backlog
	if err != nil {
		return err
	}
	after, err := g.d.rolledBack(ctx)
	s.Creation.Again = after - again
	return err
}

// one makes the nth organization.
func (g *grower) one(ctx context.Context, n int) error {
	home := g.d.regions[n%len(g.d.regions)]
	token := n / len(g.d.regions) % tokens
	key := fmt.Sprintf("growth-%d", n)
	o := organization{home: home}
	identity, authz := g.d.identity[home][token], g.d.authz[home][token]
	err := g.call(ctx, func(ctx context.Context) error {
		made, err := identity.Organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
			Slug: key, Name: key, HomeRegion: home, IdempotencyKey: key,
		})
		o.id = made.GetOrganization().GetId()
		return err
	})
	if err != nil {
		return fmt.Errorf("create organization: %w", err)
	}
	err = g.call(ctx, func(ctx context.Context) error {
		_, err := authz.Models.AssignModel(ctx, &authzv1.AssignModelRequest{
			Organization: o.id, Choice: &authzv1.AssignModelRequest_Model{Model: g.d.model}, IdempotencyKey: key + "-model",
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("assign model: %w", err)
	}
	err = g.call(ctx, func(ctx context.Context) error {
		_, err := authz.Relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
			Organization: o.id, Updates: relationships(), IdempotencyKey: key + "-relationships",
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("write relationships: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.made = append(g.made, o)
	return nil
}

// attempts of a call: what is limited or competes is made again, with the same
// idempotency key.
const attempts = 20

// call makes a call until the server takes it.
func (g *grower) call(ctx context.Context, do func(context.Context) error) error {
	var err error
	for range attempts {
		bounded, cancel := context.WithTimeout(ctx, callBound)
		err = do(bounded)
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case meridian.Is(err, commonv1.Reason_RATE_LIMITED):
			g.limited.Add(1)
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
	return err
}

// homed are the organizations of a home region.
func (g *grower) homed(region string) []organization {
	var out []organization
	for _, o := range g.made {
		if o.home == region {
			out = append(out, o)
		}
	}
	return out
}

// fresh are some of a home region that were made after the first so many.
func (g *grower) fresh(region string, after, n int) []organization {
	var out []organization
	for _, o := range g.made[after:] {
		if o.home == region && len(out) < n {
			out = append(out, o)
		}
	}
	return out
}

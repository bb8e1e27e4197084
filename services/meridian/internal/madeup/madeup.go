// Package madeup fills a deployment with organizations and users that do not
// exist, for measurements. The same call again adds what is missing.
package madeup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/patience"
	"github.com/meridian-iam/meridian/services/meridian/internal/peoplefile"
)

// Limits of one call.
const (
	MaxOrganizations = 1_000_000
	MaxUsers         = 10_000_000
)

// Fill is what to make.
type Fill struct {
	Client *meridian.Client
	// Prefix of slugs and addresses, and the name of the users' source: seed makes
	// seed-0000001 and u1@seed.example.
	Prefix string
	// Organizations and Users that there are afterwards, at least.
	Organizations, Users int
	// Parallel is how many calls are under way at once, 1 or more.
	Parallel int
	// Progress is told how many of one thing are made, of how many, by one goroutine
	// at a time.
	Progress func(what string, done, total int)
}

// Outcome counts what was made, and what there was already.
type Outcome struct {
	Organizations      int   `json:"organizations"`
	OrganizationsFound int   `json:"organizations_found"`
	Users              int64 `json:"users"`
	UsersFound         int64 `json:"users_found"`
}

// Run makes what is missing.
//
// Errors: numbers that are too large; those of calls, as a user who is refused.
// What was made stays, and counts when Run is repeated.
func (f Fill) Run(ctx context.Context) (Outcome, error) {
	var out Outcome
	if f.Organizations < 0 || f.Organizations > MaxOrganizations {
		return out, fmt.Errorf("%d organizations: must be 0 to %d", f.Organizations, MaxOrganizations)
	}
	if f.Users < 0 || f.Users > MaxUsers {
		return out, fmt.Errorf("%d users: must be 0 to %d", f.Users, MaxUsers)
	}
	ids, err := f.found(ctx)
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		if id != "" {
			out.OrganizationsFound++
		}
	}
	made, err := f.organizations(ctx, ids)
	out.Organizations = made
	if err != nil {
		return out, err
	}
	return out, f.users(ctx, ids, &out)
}

func (f Fill) slug(n int) string { return fmt.Sprintf("%s-%07d", f.Prefix, n) }

// found returns the ids of the organizations that there are, by number; empty for
// those that are missing.
func (f Fill) found(ctx context.Context) ([]string, error) {
	ids := make([]string, f.Organizations)
	request := &identityv1.ListOrganizationsRequest{Search: f.Prefix + "-", PageSize: 200}
	for f.Organizations > 0 {
		var answer *identityv1.ListOrganizationsResponse
		err := patience.Call(ctx, func(ctx context.Context) (err error) {
			answer, err = f.Client.Organizations.ListOrganizations(ctx, request)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list organizations: %w", err)
		}
		for _, o := range answer.GetOrganizations() {
			n, err := strconv.Atoi(strings.TrimPrefix(o.GetSlug(), f.Prefix+"-"))
			if err == nil && n >= 0 && n < len(ids) && o.GetSlug() == f.slug(n) {
				ids[n] = o.GetId()
			}
		}
		if request.Cursor = answer.GetNextCursor(); request.GetCursor() == "" {
			break
		}
	}
	return ids, nil
}

// organizations makes those without an id, and returns how many it made.
func (f Fill) organizations(ctx context.Context, ids []string) (int, error) {
	group, ctx := errgroup.WithContext(ctx)
	var next, made atomic.Int64
	ticket := make(chan struct{}, 1)
	for range f.Parallel {
		group.Go(func() error {
			for {
				n := int(next.Add(1) - 1)
				if n >= len(ids) || ctx.Err() != nil {
					return ctx.Err()
				}
				if ids[n] != "" {
					continue
				}
				id, err := f.organization(ctx, n)
				if err != nil {
					return fmt.Errorf("%s: %w", f.slug(n), err)
				}
				ids[n] = id
				made.Add(1)
				select {
				case ticket <- struct{}{}:
					f.Progress("organizations", n+1, len(ids))
					<-ticket
				default: // another one draws
				}
			}
		})
	}
	err := group.Wait()
	return int(made.Load()), err
}

func (f Fill) organization(ctx context.Context, n int) (id string, err error) {
	request := &identityv1.CreateOrganizationRequest{
		Slug: f.slug(n), Name: "Made-up organization " + strconv.Itoa(n), IdempotencyKey: "madeup-" + f.slug(n),
	}
	err = patience.Call(ctx, func(ctx context.Context) error {
		answer, err := f.Client.Organizations.CreateOrganization(ctx, request)
		id = answer.GetOrganization().GetId()
		return err
	})
	if meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		err = errors.New("the slug is taken by an organization that is deleted, or was made meanwhile: choose another prefix")
	}
	return id, err
}

// users makes the users, in the organizations.
func (f Fill) users(ctx context.Context, ids []string, out *Outcome) error {
	n := 0
	next := func() (peoplefile.Line, error) {
		if n == f.Users {
			return peoplefile.Line{}, io.EOF
		}
		user := f.user(n, ids)
		n++
		return peoplefile.Line{Number: int64(n), User: user, ExternalID: user.GetExternalId()}, nil
	}
	done := 0
	return peoplefile.Import{Client: f.Client, Source: f.Prefix, Parallel: f.Parallel, Result: func(r peoplefile.Result) error {
		switch r.Outcome {
		case peoplefile.Created:
			out.Users++
		case peoplefile.Refused:
			return fmt.Errorf("user %s is refused: %s: %s (%s)", r.ExternalID, r.Field, r.Detail, r.Reason)
		default:
			out.UsersFound++
		}
		done++
		f.Progress("users", done, f.Users)
		return nil
	}}.Run(ctx, next)
}

// user is the nth user: a member of one organization, one in 20 of two, one in a
// hundred of three. The first of an organization administers it.
func (f Fill) user(n int, ids []string) *identityv1.ImportedUser {
	out := &identityv1.ImportedUser{
		ExternalId: strconv.Itoa(n), Email: fmt.Sprintf("u%d@%s.example", n, f.Prefix), EmailVerified: true,
		Name: given[n%len(given)] + " " + family[n/len(given)%len(family)],
	}
	if len(ids) == 0 {
		return out
	}
	many := 1
	switch {
	case n%100 == 99:
		many = 3
	case n%20 == 19:
		many = 2
	}
	for k := range min(many, len(ids)) {
		m := &identityv1.ImportedMembership{Organization: ids[(n+k)%len(ids)]}
		if k == 0 && n < len(ids) {
			m.Role = identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
		}
		out.Memberships = append(out.Memberships, m)
	}
	return out
}

// Names, 31 and 29: the same pair comes again after 899 users.
var (
	given = strings.Fields("Ada Amir Anna Björn Carla Chen Dana Ebba Fatima Grace Hana Ines Jamal José Kofi Lea Luca Mei Nadia " +
		"Noor Olga Pavel Quinn Rosa Sven Tariq Uma Vera Wei Yuki Zoë")
	family = strings.Fields("Abe Adler Bauer Castro Diaz Endo Fischer García Haddad Ito Jansen Khan Lindqvist Mbeki Nguyen Okafor " +
		"Park Quispe Rossi Sato Singh Tanaka Ueda Vogel Weber Xu Yilmaz Zhang Østby")
)

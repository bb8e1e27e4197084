package main

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/e2e/census"
	"github.com/meridian-iam/meridian/pkg/id"
)

const (
	// largeMembers are copied into one organization, which was made by a call.
	largeMembers = 10_000
	// groupsEach is how many groups an organization has; each member is in one.
	groupsEach = 3
	// copies is how many tables are filled at once.
	copies = 2
)

// population is who is in the tables without having been made by a call. Ids are
// what calls would have given them, so those made later come after them.
type population struct {
	pool *pgxpool.Pool
	// large is an organization that the users of the first step are in besides their
	// own, joined so many at most.
	large  string
	joined int

	organizations, users []string
	// members are the numbers of members of organizations, groups their groups.
	members []int
	groups  []string
}

// span is what a step adds: from these numbers on.
type span struct {
	*population

	organization, user int
	at                 time.Time
}

// table is one to fill.
type table struct {
	schema, name string
	columns      []string
	rows         iter.Seq[[]any]
}

// grow fills the tables up to a size, and tells the database what it holds.
func (p *population) grow(ctx context.Context, to census.Size) (fill census.Fill, err error) {
	began := time.Now()
	s := span{population: p, organization: len(p.organizations), user: len(p.users), at: began.UTC().Truncate(time.Microsecond)}
	for len(p.organizations) < to.Organizations {
		p.organizations = append(p.organizations, id.New(id.Organization))
		p.members = append(p.members, 0)
		for range groupsEach {
			p.groups = append(p.groups, id.New(id.Group))
		}
	}
	for len(p.users) < to.Users {
		p.users = append(p.users, id.New(id.User))
	}
	if s.user == 0 {
		p.joined = min(len(p.users), largeMembers)
	}
	for _, organization := range s.memberships() {
		p.members[organization]++
	}
	var rows atomic.Int64
	group, copying := errgroup.WithContext(ctx)
	group.SetLimit(copies)
	for _, t := range s.tables() {
		group.Go(func() error {
			n, err := p.fill(copying, t)
			rows.Add(n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fill, err
	}
	for _, statement := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := p.pool.Exec(ctx, statement); err != nil {
			return fill, fmt.Errorf("%s: %w", statement, err)
		}
	}
	fill.Rows, fill.Seconds = rows.Load(), time.Since(began).Seconds()
	err = p.pool.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&fill.Database)
	return fill, err
}

func (p *population) fill(ctx context.Context, t table) (int64, error) {
	next, stop := iter.Pull(t.rows)
	defer stop()
	n, err := p.pool.CopyFrom(ctx, pgx.Identifier{t.schema, t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, _ := next()
		return row, nil
	}))
	if err != nil {
		return n, fmt.Errorf("copy into %s.%s: %w", t.schema, t.name, err)
	}
	return n, nil
}

// newUsers are the users of a span by number.
func (s span) newUsers() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for n := s.user; n < len(s.users); n++ {
			if !yield(n, s.users[n]) {
				return
			}
		}
	}
}

// newOrganizations are the organizations of a span by number.
func (s span) newOrganizations() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for n := s.organization; n < len(s.organizations); n++ {
			if !yield(n, s.organizations[n]) {
				return
			}
		}
	}
}

// homes are the numbers of the organizations of a user.
func (s span) homes(user int) []int {
	homes := census.Homes(user-s.user, len(s.organizations)-s.organization)
	for i := range homes {
		homes[i] += s.organization
	}
	return homes
}

// memberships are the numbers of user and organization of each new membership,
// without those of the large organization.
func (s span) memberships() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for user := s.user; user < len(s.users); user++ {
			for _, organization := range s.homes(user) {
				if !yield(user, organization) {
					return
				}
			}
		}
	}
}

// inLarge says whether a user is in the large organization too.
func (s span) inLarge(user int) bool { return s.user == 0 && user < s.joined }

// scopes are the ids of the organizations of a user, the large one too.
func (s span) scopes(user int) (scopes []string) {
	for _, organization := range s.homes(user) {
		scopes = append(scopes, s.organizations[organization])
	}
	if s.inLarge(user) {
		scopes = append(scopes, s.large)
	}
	return scopes
}

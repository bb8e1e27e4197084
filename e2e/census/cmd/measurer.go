package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/e2e/census"
	"github.com/meridian-iam/meridian/e2e/load/latency"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

const (
	// rounds: the calls of each kind are made in so many parts, all kinds in each
	// round, so that what else happens on the machine meets all of them.
	rounds = 5
	// warm is how many calls are made before any is counted: by then each statement
	// is prepared.
	warm = 12
	// makers make what is needed for a step at once.
	makers = 8
	// signers have a password.
	signers   = 8
	password  = "correct horse battery census"
	pageSize  = 50
	walkSize  = 200
	callBound = 30 * time.Second
)

// user is one who was made by a call.
type user struct{ id, email, word string }

// measurer makes calls, and remembers what it made.
type measurer struct {
	d           *deployment
	p           *population
	calls, slow int
	progress    func(format string, args ...any)

	// step counts from 0; users and organizations are those made by calls, those of
	// this step from fresh on.
	step          int
	users         []user
	organizations []string
	freshUser     int
	freshOrg      int
	// Those that were measured while they were made, and the members of the large
	// organization that joined by a call: the users from the first on.
	extraUsers, extraOrganizations, joined int
	// made counts all that was made, for names that nobody else has.
	made atomic.Int64
	// cursors lead into the middle of lists, and tails before their last page.
	userCursors, organizationCursors, memberCursors []string
	userTail                                        string
}

// call is a kind of call; do makes the nth, and says what is wrong with the answer.
type call struct {
	name string
	slow bool
	do   func(ctx context.Context, n int) error
}

// prepare makes the organization that becomes large.
func (m *measurer) prepare(ctx context.Context) error {
	made, err := m.organization(ctx, "large")
	m.p.large = made
	return err
}

// measure makes what a step needs, and measures it.
func (m *measurer) measure(ctx context.Context, step int, s *census.Step) (err error) {
	m.step = step
	if err := m.make(ctx); err != nil {
		return err
	}
	m.progress("  lists from end to end")
	if s.Walks, err = m.walk(ctx); err != nil {
		return err
	}
	m.progress("  calls")
	who := m.d.who()
	before := who.Now()
	s.Figures, err = m.all(ctx)
	s.Foreign = who.Now().Since(before).Foreign
	return err
}

// all measures every kind of call.
func (m *measurer) all(ctx context.Context) (figures []census.Figure, err error) {
	kinds := append(m.userCalls(), append(m.memberCalls(), append(m.organizationCalls(), m.signInCalls()...)...)...)
	times := make([]latency.Histogram, len(kinds))
	next := make([]int, len(kinds))
	for round := range rounds {
		for k, kind := range kinds {
			calls, skipped := m.calls/rounds, 0
			if kind.slow {
				calls = m.slow / rounds
			} else if round == 0 {
				skipped = warm
			}
			for i := range calls + skipped {
				took, err := m.once(ctx, kind, next[k])
				if err != nil {
					return nil, fmt.Errorf("%s: %w", kind.name, err)
				}
				next[k]++
				if i >= skipped {
					times[k].Record(took)
				}
			}
		}
	}
	for k, kind := range kinds {
		figures = append(figures, census.FigureOf(kind.name, &times[k]))
	}
	return figures, nil
}

func (*measurer) once(ctx context.Context, kind call, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	began := time.Now()
	err := kind.do(ctx, n)
	return time.Since(began), err
}

// make makes users and organizations of this step by calls, one of each for each
// measured call, and gives some of the users a password.
func (m *measurer) make(ctx context.Context) error {
	n := m.calls + warm
	m.freshUser, m.freshOrg = len(m.users), len(m.organizations)
	m.users = append(m.users, make([]user, n)...)
	m.organizations = append(m.organizations, make([]string, n)...)
	m.progress("  making %d organizations and users by calls", n)
	group, making := errgroup.WithContext(ctx)
	group.SetLimit(makers)
	for i := range n {
		group.Go(func() (err error) {
			if m.organizations[m.freshOrg+i], err = m.organization(making, "made"); err != nil {
				return err
			}
			made, err := m.user(making)
			m.users[m.freshUser+i] = made
			if err != nil || i >= signers {
				return err
			}
			_, err = m.d.client.Credentials.SetPassword(making, &identityv1.SetPasswordRequest{
				User: made.id, Secret: &identityv1.SetPasswordRequest_Password{Password: password}, IdempotencyKey: m.key(),
			})
			return err
		})
	}
	return group.Wait()
}

func (m *measurer) organization(ctx context.Context, name string) (string, error) {
	answer, err := m.d.client.Organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Slug: fmt.Sprintf("%s-%06d", name, m.made.Add(1)), Name: "Made by a call", IdempotencyKey: m.key(),
	})
	return answer.GetOrganization().GetId(), err
}

// user makes a user whose name has a word that no other name has.
func (m *measurer) user(ctx context.Context) (user, error) {
	n := m.made.Add(1)
	made := user{email: fmt.Sprintf("made.%d@census.example", n), word: fmt.Sprintf("xylo%08d", n)}
	answer, err := m.d.client.Users.CreateUser(ctx, &identityv1.CreateUserRequest{
		Email: made.email, EmailVerified: true, Name: "Anna X" + made.word[1:], IdempotencyKey: m.key(),
	})
	made.id = answer.GetUser().GetId()
	return made, err
}

// key is an idempotency key.
func (m *measurer) key() string { return "census-" + strconv.FormatInt(m.made.Add(1), 10) }

// spread is the nth of some things, far from the one before.
func spread[T any](things []T, n int) T { return things[n*7919%len(things)] }

// middle are those of the middle fifth.
func middle(cursors []string) []string {
	return cursors[len(cursors)*2/5 : max(len(cursors)*3/5, len(cursors)*2/5+1)]
}

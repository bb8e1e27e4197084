package peoplefile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/patience"
)

const (
	// batchUsers is how many users one call imports: as many as it takes.
	batchUsers = 100
	// batchLines is how many lines, with those that are refused, wait for it.
	batchLines = 1000
)

// Result is what became of one line. As JSON it is a line of a report.
type Result struct {
	Line       int64  `json:"line"`
	ExternalID string `json:"external_id,omitempty"`
	// Outcome is created, linked (the address had a user, who got the memberships),
	// unchanged (imported before) or refused.
	Outcome string `json:"outcome"`
	// User is the id of the user, empty for a line that is refused.
	User string `json:"user,omitempty"`
	// Reason, Field and Detail are of a line that is refused; see Refusal.
	Reason string `json:"reason,omitempty"`
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Outcomes of a line.
const (
	Created   = "created"
	Linked    = "linked"
	Unchanged = "unchanged"
	Refused   = "refused"
)

// Import is how to import users.
type Import struct {
	Client *meridian.Client
	// Source is where the users come from, as legacy-console.
	Source string
	// HomeRegion is where the personal data of new users lives; empty: the region
	// that answers.
	HomeRegion string
	// Parallel is how many calls are under way at once, 1 or more.
	Parallel int
	// Result is told of every line, in the order of the file. An error ends the
	// import.
	Result func(Result) error
}

// batch is lines that are sent together.
type batch struct {
	lines   []Line
	users   int
	results []Result
	// done is closed when there are results.
	done chan struct{}
}

// Run imports what next returns until io.EOF. Doing so again is safe: who was
// imported is left as is.
//
// Errors: those of next, of Result and of calls that fail as a whole, though they
// were repeated for a while. Lines before the one that the error names are
// imported; of some after it that is not known.
func (i Import) Run(ctx context.Context, next func() (Line, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan *batch, i.Parallel)
	slots := make(chan struct{}, i.Parallel)
	group.Go(func() error {
		defer close(queue)
		for {
			b, err := collect(next)
			if len(b.lines) > 0 {
				// In this order: batches are told of in the order of the file.
				if !put(ctx, slots, struct{}{}) || !put(ctx, queue, b) {
					return ctx.Err()
				}
				group.Go(func() error {
					defer func() { <-slots }()
					return i.send(ctx, b)
				})
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	told := int64(0)
	group.Go(func() error { return i.tell(ctx, queue, &told) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("stopped after line %d: %w", told, err)
	}
	return nil
}

func put[T any](ctx context.Context, into chan<- T, value T) bool {
	select {
	case into <- value:
		return true
	case <-ctx.Done():
		return false
	}
}

// collect returns the next lines to send; they count also with an error.
func collect(next func() (Line, error)) (*batch, error) {
	b := &batch{done: make(chan struct{})}
	for b.users < batchUsers && len(b.lines) < batchLines {
		line, err := next()
		if err != nil {
			return b, err
		}
		b.lines = append(b.lines, line)
		if line.User != nil {
			b.users++
		}
	}
	return b, nil
}

// tell says what became of each line, in order.
func (i Import) tell(ctx context.Context, queue <-chan *batch, told *int64) error {
	for b := range queue {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, r := range b.results {
			if err := i.Result(r); err != nil {
				return err
			}
			*told = r.Line
		}
	}
	return nil
}

// send imports the users of a batch and fills its results.
func (i Import) send(ctx context.Context, b *batch) error {
	b.results = make([]Result, len(b.lines))
	var users []*identityv1.ImportedUser
	var of []int
	for n, line := range b.lines {
		b.results[n] = Result{
			Line: line.Number, ExternalID: line.ExternalID, Outcome: Refused,
			Reason: line.Refusal.Reason, Field: line.Refusal.Field, Detail: line.Refusal.Detail,
		}
		if line.User != nil {
			users, of = append(users, line.User), append(of, n)
		}
	}
	for len(users) > 0 {
		answer, err := i.call(ctx, users)
		if n, refusal, ok := blamed(err, len(users)); ok {
			// The server has a rule that is not known here: the others go on.
			r := &b.results[of[n]]
			r.Reason, r.Field, r.Detail = refusal.Reason, refusal.Field, refusal.Detail
			users, of = append(users[:n:n], users[n+1:]...), append(of[:n:n], of[n+1:]...)
			continue
		}
		if err != nil {
			return err
		}
		if len(answer.GetResults()) != len(users) {
			return fmt.Errorf("the answer has %d results for %d users", len(answer.GetResults()), len(users))
		}
		for n, result := range answer.GetResults() {
			b.results[of[n]].fill(result)
		}
		break
	}
	close(b.done)
	return nil
}

func (i Import) call(ctx context.Context, users []*identityv1.ImportedUser) (answer *identityv1.ImportUsersResponse, err error) {
	request := &identityv1.ImportUsersRequest{Source: i.Source, HomeRegion: i.HomeRegion, Users: users, IdempotencyKey: "import-" + rand.Text()}
	err = patience.Call(ctx, func(ctx context.Context) error {
		answer, err = i.Client.Migration.ImportUsers(ctx, request)
		return err
	})
	return answer, err
}

// blamed returns which of so many users an error of the whole call is about.
func blamed(err error, users int) (int, Refusal, bool) {
	e, ok := meridian.AsError(err)
	if !ok || e.Reason != commonv1.Reason_INVALID_FIELD {
		return 0, Refusal{}, false
	}
	n, field, found := within(e.Meta["field"])
	if !found || n >= users {
		return 0, Refusal{}, false
	}
	return n, refuse(field, "breaks the rule "+e.Meta["rule"]), true
}

// within reads a field of a user of a call, as users[3].email.
func within(path string) (n int, field string, found bool) {
	rest, ok := strings.CutPrefix(path, "users[")
	number, field, closed := strings.Cut(rest, "]")
	n, err := strconv.Atoi(number)
	return n, strings.TrimPrefix(field, "."), ok && closed && err == nil && n >= 0
}

// fill takes what the server says became of a user.
func (r *Result) fill(result *identityv1.ImportResult) {
	switch result.GetOutcome() {
	case identityv1.ImportOutcome_IMPORT_OUTCOME_CREATED:
		r.Outcome = Created
	case identityv1.ImportOutcome_IMPORT_OUTCOME_LINKED:
		r.Outcome = Linked
	case identityv1.ImportOutcome_IMPORT_OUTCOME_UNCHANGED:
		r.Outcome = Unchanged
	default:
		r.Outcome = Refused
	}
	r.User, r.Reason, r.Field, r.Detail = result.GetUser(), result.GetReason(), result.GetField(), result.GetDetail()
	r.Detail = strings.TrimPrefix(r.Detail, r.Field+": ")
	if _, field, ok := within(r.Field); ok { // which user of the call means nothing to who reads lines
		r.Field = field
	}
	r.Detail = strings.TrimPrefix(r.Detail, r.Field+": ")
}

package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// recorder is a tracer that remembers the statements on identity's tables.
type recorder struct {
	mu         sync.Mutex
	on         bool
	statements map[string][]any
}

func (r *recorder) record(sql string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on && strings.Contains(sql, "identity.") && !strings.HasPrefix(sql, "EXPLAIN") {
		r.statements[sql] = args
	}
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.record(data.SQL, data.Args)
	return ctx
}

func (*recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (*recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (r *recorder) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	r.record(data.SQL, data.Args)
}

func (*recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// crowdSize is how many users the crowd has.
const crowdSize = 20_000

// crowd fills the tables with n users, who are all members of an organization, and
// each three of them of another one; a tenth of them administer the one. So the
// average organization says nothing of the largest: a statement whose plan is made
// for all values of its parameters at once reads the largest by mistake.
func (f *fixture) crowd(t *testing.T, org string, n int) {
	t.Helper()
	tx, err := f.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Until a commit is written down, vacuuming leaves its rows as they are.
	if _, err := tx.Exec(t.Context(), `SET LOCAL synchronous_commit = on`); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO identity.users (user_id, realm, state, email_verified, source, home_region, created_at, memberships)
		 SELECT 'usr_0' || lpad(i::TEXT, 25, '0'), '', 1 + (i % 10 = 0)::INT, false, 'api', 'eu-west', now(), 1 FROM generate_series(1, $2::INT) AS i WHERE $1 <> ''`,
		`INSERT INTO identity.profiles (user_id, email, name, locale, home_region)
		 SELECT 'usr_0' || lpad(i::TEXT, 25, '0'), 'u' || i || '@crowd.example', 'Anna Crowd' || i, 'en', 'eu-west' FROM generate_series(1, $2::INT) AS i WHERE $1 <> ''`,
		`INSERT INTO identity.user_emails (realm, blind, user_id, home_region)
		 SELECT '', sha256(i::TEXT::BYTEA), 'usr_0' || lpad(i::TEXT, 25, '0'), 'eu-west' FROM generate_series(1, $2::INT) AS i WHERE $1 <> ''`,
		`INSERT INTO identity.search_words (scope, word, user_id, home_region)
		 SELECT s, w::BYTEA, 'usr_0' || lpad(i::TEXT, 25, '0'), 'eu-west'
		 FROM generate_series(1, $2::INT) AS i, unnest(ARRAY['', $1::TEXT]) AS s, unnest(ARRAY['anna', 'crowd' || i]) AS w`,
		`INSERT INTO identity.search_words (scope, word, user_id, home_region)
		 SELECT 'org_0' || lpad((i / 3)::TEXT, 25, '0'), w::BYTEA, 'usr_0' || lpad(i::TEXT, 25, '0'), 'eu-west'
		 FROM generate_series(1, $2::INT) AS i, unnest(ARRAY['anna', 'crowd' || i]) AS w WHERE $1 <> ''`,
		`INSERT INTO identity.memberships (organization_id, user_id, role, state, everywhere, source, source_ref, home_region, created_at)
		 SELECT $1, 'usr_0' || lpad(i::TEXT, 25, '0'), 1 + (i % 10 = 0)::INT, 1, false, 4, '', 'eu-west', now() FROM generate_series(1, $2::INT) AS i`,
		`INSERT INTO identity.memberships (organization_id, user_id, role, state, everywhere, source, source_ref, home_region, created_at)
		 SELECT 'org_0' || lpad((i / 3)::TEXT, 25, '0'), 'usr_0' || lpad(i::TEXT, 25, '0'), 1, 1, false, 4, '', 'eu-west', now()
		 FROM generate_series(1, $2::INT) AS i WHERE $1 <> ''`,
	} {
		if _, err := tx.Exec(t.Context(), statement, org, n); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"users", "profiles", "user_emails", "search_words", "memberships"} {
		f.vacuum(t, "identity."+table)
	}
}

// vacuum tells the database what a table holds, and that everybody sees all of it,
// so that indexes alone can answer. It waits for who looked at an older state.
func (f *fixture) vacuum(t *testing.T, table string) {
	t.Helper()
	for visible := false; !visible; {
		if _, err := f.db.Pool().Exec(t.Context(), "VACUUM (ANALYZE) "+table); err != nil {
			t.Fatal(err)
		}
		err := f.db.Pool().QueryRow(t.Context(), `SELECT relallvisible = relpages FROM pg_class WHERE oid = $1::TEXT::REGCLASS`, table).Scan(&visible)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// plan is a node of a plan of PostgreSQL.
type plan struct {
	Node    string  `json:"Node Type"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Hit     float64 `json:"Shared Hit Blocks"`
	Read    float64 `json:"Shared Read Blocks"`
	Plans   []plan  `json:"Plans"`
}

func (p plan) walk(visit func(plan)) {
	visit(p)
	for _, inner := range p.Plans {
		inner.walk(visit)
	}
}

// bad says what is wrong with a plan, or "". A page of a list looks at 1,000 rows at
// most.
func (p plan) bad() (bad string) {
	rows := 0.0
	p.walk(func(p plan) {
		rows = max(rows, p.Rows*p.Loops, p.Removed*p.Loops)
		if p.Node == "Seq Scan" || strings.Contains(p.Node, "Sort") {
			bad = p.Node
		}
	})
	if blocks := p.Hit + p.Read; rows > 1_000 || blocks > 5_000 {
		bad += fmt.Sprintf(" %.0f rows and %.0f blocks", rows, blocks)
	}
	return bad
}

// PostgreSQL plans a prepared statement for the values it has the first five times,
// and from then on once for all values if that seems to cost no less.
const (
	young = 0
	grown = 5
)

// explain runs a statement that was planned so many times before, and takes it back.
func (f *fixture) explain(t *testing.T, before int, statement string, args []any) plan {
	t.Helper()
	text, err := f.explained(t, "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)", before, statement, args)
	if err != nil {
		// A repeated insert is refused, but its plan is known.
		text, err = f.explained(t, "EXPLAIN (FORMAT JSON)", before, statement, args)
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	var out []struct {
		Plan plan `json:"Plan"`
	}
	if err := json.Unmarshal(text, &out); err != nil || len(out) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	return out[0].Plan
}

func (f *fixture) explained(t *testing.T, explain string, before int, statement string, args []any) (text []byte, err error) {
	t.Helper()
	tx, err := f.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	// The name ends with the connection, not with the transaction.
	name := fmt.Sprintf("explained_%d", prepared.Add(1))
	if _, err := tx.Exec(t.Context(), "PREPARE "+name+" AS "+statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	execute := " EXECUTE " + name
	if len(args) > 0 {
		values := make([]string, len(args))
		for i := range args {
			values[i] = fmt.Sprintf("$%d", i+1)
		}
		execute += " (" + strings.Join(values, ", ") + ")"
	}
	// EXECUTE takes no parameters: the values are written into it.
	args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
	for range before {
		if _, err := tx.Exec(t.Context(), "EXPLAIN"+execute, args...); err != nil {
			return nil, err
		}
	}
	err = tx.QueryRow(t.Context(), explain+execute, args...).Scan(&text)
	return text, err
}

// prepared counts names of prepared statements.
var prepared atomic.Int64

// halfway lists some users of a state, page by page, until half of so many were seen.
func (f *fixture) halfway(ctx context.Context, state identityv1.UserState, users int) error {
	request := &identityv1.ListUsersRequest{State: state, PageSize: 200}
	for seen := 0; seen < users/2; {
		answer, err := f.users.ListUsers(ctx, request)
		if err != nil {
			return err
		}
		if len(answer.GetUsers()) < 200 {
			return fmt.Errorf("a page has %d users after %d of %d", len(answer.GetUsers()), seen, users)
		}
		seen += len(answer.GetUsers())
		request.Cursor = answer.GetNextCursor()
	}
	return nil
}

// every runs each procedure of users and memberships, and of lists the pages up to
// the middle, where the plans are looked at.
func (f *fixture) every(t *testing.T, org string) {
	t.Helper()
	ctx := admin(t)
	ada, other := f.user(t, ctx, "ada@example.com", "Ada Lovelace"), f.organization(t, ctx, "globex")
	f.member(t, ctx, org, ada, administrator)
	f.member(t, ctx, other, ada, administrator)
	name, member := "Ada King", &identityv1.GetMemberRequest{Organization: org, User: ada}
	for call, err := range map[string]error{
		"GetUser":             second(f.users.GetUser(ctx, &identityv1.GetUserRequest{User: ada})),
		"FindUser":            second(f.users.FindUser(ctx, &identityv1.FindUserRequest{Email: "ada@example.com"})),
		"ListUsers":           f.halfway(ctx, 0, crowdSize),
		"ListUsers state":     f.halfway(ctx, identityv1.UserState_USER_STATE_SUSPENDED, crowdSize/10),
		"ListUsers search":    second(f.users.ListUsers(ctx, &identityv1.ListUsersRequest{Search: "ann crowd77"})),
		"ListUsers common":    second(f.users.ListUsers(ctx, &identityv1.ListUsersRequest{Search: "an", State: identityv1.UserState_USER_STATE_SUSPENDED})),
		"UpdateUser":          second(f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &name, IdempotencyKey: key()})),
		"ChangeEmail":         second(f.users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{User: ada, Email: "a@example.org", IdempotencyKey: key()})),
		"SuspendUser":         second(f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})),
		"ResumeUser":          second(f.users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: ada, IdempotencyKey: key()})),
		"ExportUser":          second(f.users.ExportUser(ctx, &identityv1.ExportUserRequest{User: ada})),
		"ListUserMemberships": second(f.users.ListUserMemberships(ctx, &identityv1.ListUserMembershipsRequest{User: ada})),
		"GetMember":           second(f.memberships.GetMember(ctx, member)),
		"ListMembers":         second(f.memberships.ListMembers(ctx, &identityv1.ListMembersRequest{Organization: org})),
		"ListMembers role":    second(f.memberships.ListMembers(ctx, &identityv1.ListMembersRequest{Organization: org, Role: administrator})),
		"ListMembers nobody": second(f.memberships.ListMembers(ctx, &identityv1.ListMembersRequest{
			Organization: org, Source: identityv1.MembershipSource_MEMBERSHIP_SOURCE_SCIM,
		})),
		"ListMembers search":  second(f.memberships.ListMembers(ctx, &identityv1.ListMembersRequest{Organization: org, Search: "an"})),
		"ListMembers address": second(f.memberships.ListMembers(ctx, &identityv1.ListMembersRequest{Organization: org, Search: "a@example.org"})),
		"UpdateMember":        second(f.memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{Organization: org, User: ada, Role: plain, IdempotencyKey: key()})),
		"SuspendMember":       second(f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})),
		"ResumeMember":        second(f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})),
		"RemoveMember":        second(f.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})),
		"EraseUser":           second(f.erase(ctx, ada, true)),
	} {
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// No statement of any procedure reads a table from end to end, or sorts; and what
// it touches does not depend on how many users there are.
func TestPlans(t *testing.T) {
	r := &recorder{statements: map[string][]any{}}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 4, Tracer: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if db.Flavor() != sqldb.PostgreSQL {
		t.Log("NOT TESTED: plans of CockroachDB")
		return
	}
	f := newFixtureOn(t, db)
	org := f.organization(t, admin(t), "acme")
	f.crowd(t, org, crowdSize)
	r.mu.Lock()
	r.on = true
	r.mu.Unlock()
	f.every(t, org)
	r.mu.Lock()
	r.on = false
	r.mu.Unlock()
	if len(r.statements) < 30 {
		t.Errorf("%d statements were recorded", len(r.statements))
	}
	if f.explain(t, young, `SELECT user_id FROM identity.users ORDER BY created_at LIMIT 5`, nil).bad() == "" {
		t.Error("a scan of all users goes unseen")
	}
	const whole = `SELECT word FROM identity.search_words WHERE user_id = ANY($1) AND scope = $2`
	if f.explain(t, grown, whole, []any{[]string{"usr_1", "usr_2"}, org}).bad() == "" {
		t.Error("a plan for all values that reads a whole organization goes unseen")
	}
	most := 0.0
	for statement, args := range r.statements {
		for _, before := range []int{young, grown} {
			p := f.explain(t, before, statement, args)
			if bad := p.bad(); bad != "" {
				t.Errorf("planned %d times before: %s:\n%s", before, bad, statement)
			}
			most = max(most, p.Hit+p.Read)
		}
	}
	t.Logf("%d statements among %d users; the largest touches %.0f blocks", len(r.statements), crowdSize, most)
}

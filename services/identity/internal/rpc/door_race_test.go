package rpc_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// interjection does something just before the first statement with a mark, once it
// is armed. It is the Tracer of a database.
type interjection struct {
	mark  string
	do    func()
	armed atomic.Bool
}

func (i *interjection) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	if strings.Contains(query.SQL, i.mark) && i.armed.CompareAndSwap(true, false) {
		i.do()
	}
	return ctx
}

func (*interjection) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Between the look at a user and the transaction that lets the user in, the user may
// be suspended or get another password: nobody is let in at a revision that says so.
func TestChangedWhileSigningIn(t *testing.T) {
	meanwhile := &interjection{mark: "INSERT INTO log.idempotency"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 4, Tracer: meanwhile})
	must(t, err)
	t.Cleanup(db.Close)
	d, ctx := newDoorOn(t, newFixtureOn(t, db)), admin(t)
	for name, tc := range map[string]struct {
		change func(user string)
		want   commonv1.Reason
	}{
		"suspended": {func(user string) {
			_, err := d.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: user, IdempotencyKey: key()})
			must(t, err)
		}, commonv1.Reason_USER_SUSPENDED},
		"another password": {func(user string) { d.setPassword(t, ctx, user, "entirely other words") }, commonv1.Reason_AUTHENTICATION_ENDED},
		"another name": {func(user string) {
			name := "Augusta"
			_, err := d.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: user, Name: &name, IdempotencyKey: key()})
			must(t, err)
		}, commonv1.Reason_REASON_UNSPECIFIED},
	} {
		t.Run(name, func(t *testing.T) {
			email := strings.ReplaceAll(name, " ", "-") + "@example.com"
			user := d.user(t, ctx, email, "Ada")
			d.setPassword(t, ctx, user, goodText)
			b := d.browser(ctx, "203.0.113.7")
			must(t, b.start(signIn, email))
			must(t, b.prove(text(goodText)))
			meanwhile.do = func() { tc.change(user) }
			meanwhile.armed.Store(true)
			_, err := b.finish()
			if meanwhile.armed.Load() {
				t.Fatal("nothing came in between")
			}
			if tc.want == 0 {
				must(t, err)
				return
			}
			wants(t, err, tc.want)
		})
	}
}

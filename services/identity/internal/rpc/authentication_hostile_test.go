package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// crowded is a door with room for many at once.
func crowded(t *testing.T) *door {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 24})
	must(t, err)
	t.Cleanup(db.Close)
	return newDoorOn(t, newFixtureOn(t, db))
}

// outcomes counts what n calls at once came to; "" is success.
func outcomes(n int, call func(i int) error) map[string]int {
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		out   = map[string]int{}
	)
	for i := range n {
		group.Go(func() {
			reason := ""
			if err := call(i); err != nil {
				reason = err.Error()
				if f, ok := fault.As(err); ok {
					reason = f.Reason.String()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out[reason]++
		})
	}
	group.Wait()
	return out
}

func TestARightProofAtOnceCountsOnce(t *testing.T) {
	d, ctx := crowded(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	codes := d.recoveryCodes(t, ctx, user)
	d.addTOTP(t, ctx, user)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	got := outcomes(4, func(int) error {
		return (&browser{door: d, ctx: ctx, ip: b.ip, id: b.id, secret: b.secret}).prove(text(goodText))
	})
	if got[""] != 1 || got["FACTOR_UNAVAILABLE"] != 3 {
		t.Errorf("passwords: %v", got)
	}
	// One recovery code, in several authentications at once.
	const several = 8
	browsers := make([]*browser, several)
	for i := range browsers {
		browsers[i] = d.browser(ctx, fmt.Sprintf("198.51.%d.1", i))
		must(t, browsers[i].start(signIn, ada))
		must(t, browsers[i].prove(text(goodText)))
	}
	got = outcomes(5, func(i int) error { return browsers[i].prove(recoveryCode(codes[0])) })
	if got[""] != 1 || got["AUTHENTICATION_REJECTED"] != 4 {
		t.Errorf("recovery codes: %v", got)
	}
	d.verify(t, user)
}

func TestFinishesAtOnceGiveOneResult(t *testing.T) {
	d, ctx := crowded(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	got := outcomes(16, func(int) error {
		_, err := (&browser{door: d, ctx: ctx, id: b.id, secret: b.secret}).finish()
		return err
	})
	if got[""] != 1 || got["AUTHENTICATION_ENDED"] != 15 {
		t.Errorf("%v", got)
	}
}

func TestSignUpsAtOnceMakeOneUser(t *testing.T) {
	const many = 64
	d, ctx := crowded(t), admin(t)
	browsers := make([]*browser, many)
	for i := range browsers {
		browsers[i] = d.browser(ctx, fmt.Sprintf("198.51.%d.1", i))
		must(t, browsers[i].start(signUp, ada))
		err := browsers[i].request(byCode)
		if f, ok := fault.As(err); ok && f.Reason == commonv1.Reason_RATE_LIMITED {
			d.advance(f.RetryAfter) // others asked for letters to this address
			err = browsers[i].request(byCode)
		}
		must(t, err)
		must(t, browsers[i].prove(with(d.code(t, ada))))
	}
	var mu sync.Mutex
	users, created := map[string]int{}, 0
	got := outcomes(many, func(i int) error {
		answer, err := browsers[i].finish()
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			users[answer.GetUser()]++
			if answer.GetCreated() {
				created++
			}
		}
		return err
	})
	if got[""] != many || len(users) != 1 || created != 1 {
		t.Errorf("%v: %d users, %d created", got, len(users), created)
	}
	for user := range users {
		d.verify(t, user)
	}
}

func TestAuthenticationsDoNotMix(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	for _, email := range []string{ada, "bob@example.com"} {
		d.setPassword(t, ctx, d.user(t, ctx, email, "N"), goodText)
	}
	mine, other := d.browser(ctx, "203.0.113.7"), d.browser(ctx, "203.0.113.7")
	must(t, mine.start(signIn, ada))
	must(t, other.start(signIn, "bob@example.com"))
	must(t, other.request(byCode))
	for name, mixed := range map[string]*browser{
		"another's secret": {door: d, ctx: ctx, ip: mine.ip, id: mine.id, secret: other.secret},
		"no such one":      {door: d, ctx: ctx, ip: mine.ip, id: id.New(id.Authentication), secret: mine.secret},
		"nothing":          {door: d, ctx: ctx, ip: mine.ip, id: mine.id},
	} {
		wants(t, mixed.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_ENDED)
		wants(t, mixed.request(byCode), commonv1.Reason_AUTHENTICATION_ENDED)
		_, err := mixed.finish()
		wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
		if _, err := d.auth.GetAuthentication(ctx, &identityv1.GetAuthenticationRequest{Authentication: mixed.id, Secret: mixed.secret}); !fault.Is(err, commonv1.Reason_AUTHENTICATION_ENDED) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A state that is copied into another row opens nothing.
	if _, err := d.db.Pool().Exec(ctx, `UPDATE identity.authentications AS a SET state = b.state, secret_hash = b.secret_hash
		FROM identity.authentications b WHERE a.authentication_id = $1 AND b.authentication_id = $2`, mine.id, other.id); err != nil {
		t.Fatal(err)
	}
	copied := &browser{door: d, ctx: ctx, ip: mine.ip, id: mine.id, secret: other.secret}
	wants(t, copied.prove(with(d.code(t, "bob@example.com"))), commonv1.Reason_DEFECT)
	must(t, other.prove(with(d.code(t, "bob@example.com"))))
}

// Nothing of who signs in is in the rows, nor any secret.
func TestRowsTellNothing(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	seed := d.addTOTP(t, ctx, user)
	codes := d.recoveryCodes(t, ctx, user)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	must(t, b.request(byCode))
	wants(t, b.prove(text("wrong horse battery")), commonv1.Reason_AUTHENTICATION_REJECTED)
	code := d.code(t, ada).EmailCode
	up := d.browser(ctx, "203.0.113.7")
	must(t, up.start(signUp, "new@example.com"))
	must(t, up.request(byLink))
	for _, table := range []string{"identity.authentications", "identity.throttles", "identity.ceremonies", "identity.credentials", "log.idempotency", "log.events"} {
		rows, err := d.db.Pool().Query(ctx, "SELECT r::TEXT FROM "+table+" r")
		must(t, err)
		for rows.Next() {
			var row string
			must(t, rows.Scan(&row))
			for name, datum := range map[string]string{
				"password": goodText, "guess": "wrong horse", "seed": seed, "recovery code": codes[0], "address": "new@example.com",
				"secret": b.secret, "code": code, "network": "203.0.113",
			} {
				// Bytes are shown in hexadecimal.
				if contains(row, datum) {
					t.Errorf("%s holds the %s", table, name)
				}
			}
			if table == "identity.authentications" && contains(row, user) {
				t.Errorf("%s holds the user", table)
			}
		}
		must(t, rows.Err())
	}
}

func contains(row, datum string) bool {
	return len(datum) > 0 && (strings.Contains(row, datum) || strings.Contains(row, fmt.Sprintf("%x", datum)))
}

func TestRepeatedCalls(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	b := d.browser(ctx, "203.0.113.7")
	begin := &identityv1.StartAuthenticationRequest{Purpose: signIn, Email: ada, Client: b.client(), IdempotencyKey: key()}
	first, err := d.auth.StartAuthentication(ctx, begin)
	must(t, err)
	again, err := d.auth.StartAuthentication(ctx, begin)
	must(t, err)
	if first.GetSecret() != again.GetSecret() || first.GetAuthentication().GetId() != again.GetAuthentication().GetId() {
		t.Error("a repeated start is another authentication")
	}
	stranger, err := d.auth.StartAuthentication(admin(t), begin)
	must(t, err)
	if stranger.GetSecret() == first.GetSecret() {
		t.Error("another caller's key has the same secret")
	}
	b.id, b.secret = first.GetAuthentication().GetId(), first.GetSecret()

	ask := &identityv1.RequestChallengeRequest{Authentication: b.id, Secret: b.secret, Factor: byCode, Client: b.client(), IdempotencyKey: key()}
	for range 3 {
		_, err = d.auth.RequestChallenge(ctx, ask)
		must(t, err)
	}
	if d.letters() != 1 {
		t.Errorf("%d letters for one call", d.letters())
	}
	wrong, right := b.attempt(text("wrong horse battery")), b.attempt(text(goodText))
	for range 20 {
		_, err = d.auth.ContinueAuthentication(ctx, wrong)
		wants(t, err, commonv1.Reason_AUTHENTICATION_REJECTED)
	}
	for range 3 {
		right.Client = &identityv1.Client{Ip: "198.51.100.1"} // the browser moved
		_, err = d.auth.ContinueAuthentication(ctx, right)
		must(t, err)
	}
	other := b.attempt(text("a third horse battery"))
	other.IdempotencyKey = right.GetIdempotencyKey()
	_, err = d.auth.ContinueAuthentication(ctx, other)
	wants(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)

	end := &identityv1.FinishAuthenticationRequest{Authentication: b.id, Secret: b.secret, IdempotencyKey: key()}
	one, err := d.auth.FinishAuthentication(ctx, end)
	must(t, err)
	two, err := d.auth.FinishAuthentication(ctx, end)
	must(t, err)
	if one.GetDevice() != two.GetDevice() || one.GetUser() != two.GetUser() || one.GetRevision() != two.GetRevision() {
		t.Errorf("finished as %v and %v", one, two)
	}
}

func TestAuthenticationNeedsACaller(t *testing.T) {
	d := newDoor(t)
	b := d.browser(context.Background(), "203.0.113.7")
	wants(t, b.start(signIn, ada), commonv1.Reason_TOKEN_MISSING)
	wants(t, b.prove(text("x")), commonv1.Reason_TOKEN_MISSING)
	_, err := b.finish()
	wants(t, err, commonv1.Reason_TOKEN_MISSING)
	b.ctx = admin(t)
	b.ip = "not an address"
	wants(t, b.start(signIn, ada), commonv1.Reason_INVALID_FIELD)
	b.ip = "203.0.113.7"
	wants(t, b.start(signIn, "not an address"), commonv1.Reason_INVALID_FIELD)
}

// People of different networks sign in by transactions that all overlap: none is
// asked to run again.
func TestSignInsDoNotConflict(t *testing.T) {
	const people = 8
	meeting := &sqltest.Meeting{Mark: "INSERT INTO identity.throttles"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 2*people + 2, Tracer: meeting})
	must(t, err)
	t.Cleanup(db.Close)
	d, ctx := newDoorOn(t, newFixtureOn(t, db)), admin(t)
	browsers := make([]*browser, people)
	for i := range browsers {
		browsers[i] = d.browser(ctx, fmt.Sprintf("198.51.%d.1", i))
		browsers[i].email = fmt.Sprintf("user%d@example.com", i)
		d.setPassword(t, ctx, d.user(t, ctx, browsers[i].email, "N"), goodText)
	}
	for _, step := range []struct {
		name string
		runs int // of transactions for each, the first of which meet
		do   func(b *browser) error
	}{
		{"start", 1, func(b *browser) error { return b.start(signIn, b.email) }},
		{"request", 1, func(b *browser) error { return b.request(byCode) }},
		{"prove", 2, func(b *browser) error { return b.prove(text(goodText)) }},
		{"finish", 1, func(b *browser) error { _, err := b.finish(); return err }},
	} {
		meeting.Expect(people)
		got := outcomes(people, func(i int) error { return step.do(browsers[i]) })
		if got[""] != people || meeting.Runs() != step.runs*people {
			t.Errorf("%s: %v, and %d transactions ran for %d", step.name, got, meeting.Runs(), step.runs*people)
		}
		meeting.Expect(0)
	}
}

// Who changes the password ends what was begun with the one before.
func TestAChangeEndsWhatWasBegun(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	key := newAuthenticator(user, true)
	made := d.register(t, ctx, user, key)
	byPassword, byKey, byMail := d.browser(ctx, "203.0.113.7"), d.browser(ctx, "203.0.113.7"), d.browser(ctx, "203.0.113.7")
	must(t, byPassword.start(signIn, ada))
	must(t, byPassword.prove(text(goodText)))
	must(t, byKey.start(signIn, ""))
	must(t, byKey.request(byPasskey))
	must(t, byKey.prove(with(key.sign(t, byKey.options))))
	must(t, byMail.start(signIn, ada))
	must(t, byMail.request(byCode))
	late := d.browser(ctx, "203.0.113.7")
	must(t, late.start(signIn, ada))
	must(t, late.request(byCode))
	lateCode := d.code(t, ada)
	must(t, byMail.request(byCode))
	must(t, byMail.prove(with(d.code(t, ada))))

	d.setPassword(t, ctx, user, "another horse battery")
	_, err := byPassword.finish()
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	_, err = d.cred.DeleteCredential(ctx, &identityv1.DeleteCredentialRequest{User: user, Credential: made.GetId(), IdempotencyKey: nextKey()})
	must(t, err)
	_, err = byKey.finish()
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	_, err = d.users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{User: user, Email: "ada@example.org", IdempotencyKey: nextKey()})
	must(t, err)
	_, err = byMail.finish()
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	wants(t, late.prove(with(lateCode)), commonv1.Reason_AUTHENTICATION_REJECTED)
}

// An address that somebody has proved is verified from then on.
func TestAProofVerifiesTheAddress(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	b := d.browser(ctx, "203.0.113.7")
	for range 2 {
		must(t, b.start(signIn, ada))
		must(t, b.request(byCode))
		must(t, b.prove(with(d.code(t, ada))))
		b.result(t, user, "aal1", "otp")
	}
	got, err := d.users.GetUser(ctx, &identityv1.GetUserRequest{User: user})
	must(t, err)
	if head, err := d.log.Head(ctx, d.db.Pool(), user); err != nil || head.Sequence != 2 || !got.GetUser().GetEmailVerified() {
		t.Errorf("head %d, %v, verified %v; want 2: user, verified once", head.Sequence, err, got.GetUser().GetEmailVerified())
	}
}

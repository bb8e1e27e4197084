package recheck_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/proof"
	"github.com/meridian-iam/meridian/services/identity/internal/proof/dnstest"
	"github.com/meridian-iam/meridian/services/identity/internal/recheck"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

type fixture struct {
	db      *sqldb.DB
	log     *eventlog.Store
	dns     *dnstest.Server
	domains *rpc.Domains
	now     atomic.Int64
	ctx     context.Context
	org     string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t), dns: dnstest.New(t)}
	f.now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: "eu-west", Clock: f.clock})
	resolver, err := proof.DNS(f.dns.Addr)
	if err != nil {
		t.Fatal(err)
	}
	f.domains = &rpc.Domains{DB: f.db, Log: f.log, Resolver: resolver, Clock: f.clock}
	f.ctx = principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: "tok", Level: commonv1.Level_LEVEL_ADMIN})
	organizations := &rpc.Organizations{DB: f.db, Log: f.log, Region: "eu-west", Regions: []string{"eu-west"}, Clock: f.clock}
	made, err := organizations.CreateOrganization(f.ctx, &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: "1"})
	if err != nil {
		t.Fatal(err)
	}
	f.org = made.GetOrganization().GetId()
	return f
}

func (f *fixture) clock() time.Time { return time.Unix(0, f.now.Load()).UTC() }

func (f *fixture) worker(region string) *recheck.Worker {
	return recheck.New(recheck.Options{
		DB: f.db, Log: f.log, Region: region, Resolver: f.domains.Resolver, Clock: f.clock, Logger: slog.New(slog.DiscardHandler),
	})
}

func (f *fixture) verified(t *testing.T, name string) *identityv1.Domain {
	t.Helper()
	added, err := f.domains.AddDomain(f.ctx, &identityv1.AddDomainRequest{Organization: f.org, Name: name, IdempotencyKey: "add " + name})
	if err != nil {
		t.Fatal(err)
	}
	d := added.GetDomain()
	f.dns.Set(d.GetRecordName(), dnstest.TXT(d.GetRecordValue()))
	return f.verify(t, d, "verify "+name)
}

func (f *fixture) verify(t *testing.T, d *identityv1.Domain, key string) *identityv1.Domain {
	t.Helper()
	answer, err := f.domains.VerifyDomain(f.ctx, &identityv1.VerifyDomainRequest{Organization: f.org, Domain: d.GetId(), IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetDomain()
}

// check runs one check and expects so many claims; the log and the rows agree after
// it.
func (f *fixture) check(t *testing.T, want int) {
	t.Helper()
	claimed, err := f.worker("eu-west").Check(t.Context())
	if err != nil || claimed != want {
		t.Errorf("Check = %d, %v; want %d", claimed, err, want)
	}
	v := &eventlog.Verifier{Store: f.log, Folds: []eventlog.Fold{store.Fold{}}}
	if result, err := v.Verify(t.Context(), f.org, nil); err != nil || result.Difference != nil {
		t.Errorf("log: %v, %v", result.Difference, err)
	}
}

func (f *fixture) state(t *testing.T, d *identityv1.Domain) string {
	t.Helper()
	answer, err := f.domains.GetDomain(f.ctx, &identityv1.GetDomainRequest{Organization: f.org, Domain: d.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToLower(strings.TrimPrefix(answer.GetDomain().GetState().String(), "DOMAIN_STATE_"))
}

// day is longer than a day and its jitter.
const day = 26 * time.Hour

func TestThreeMissesInARow(t *testing.T) {
	f := newFixture(t)
	d := f.verified(t, "example.com")
	there, gone, away := dnstest.TXT(d.GetRecordValue()), dnstest.TXT("other"), dnstest.Code(dns.RcodeServerFailure)
	f.check(t, 0) // checked a moment ago
	for i, step := range []struct {
		answer dnstest.Answer
		want   string
	}{
		{there, "verified"},
		{gone, "verified"},
		{nil, "verified"},
		{there, "verified"}, // the row begins anew
		{gone, "verified"},
		{away, "verified"}, // says nothing
		{gone, "verified"},
		{away, "verified"},
		{away, "verified"},
		{nil, "lapsed"},
	} {
		f.now.Add(int64(day))
		f.dns.Set(d.GetRecordName(), step.answer)
		f.check(t, 1)
		if got := f.state(t, d); got != step.want {
			t.Fatalf("step %d: %s, want %s", i, got, step.want)
		}
		f.check(t, 0)
	}
	head, err := f.log.Head(t.Context(), f.db.Pool(), f.org)
	if err != nil || head.Sequence != 4 {
		t.Errorf("head %d, %v; want 4: organization, added, verified, lapsed", head.Sequence, err)
	}
	f.now.Add(int64(day))
	f.check(t, 0) // what lapsed is not checked
	f.dns.Set(d.GetRecordName(), there)
	f.verify(t, d, "again")
	if got := f.state(t, d); got != "verified" {
		t.Errorf("verified again: %s", got)
	}
	f.now.Add(int64(day))
	f.dns.Set(d.GetRecordName(), gone)
	f.check(t, 1)
	if got := f.state(t, d); got != "verified" {
		t.Errorf("one miss after that: %s: old misses count", got)
	}
}

// A lookup that was not answered is repeated before a day is over.
func TestUnansweredIsRepeated(t *testing.T) {
	f := newFixture(t)
	d := f.verified(t, "example.com")
	f.dns.Set(d.GetRecordName(), dnstest.Code(dns.RcodeServerFailure))
	f.now.Add(int64(day))
	f.check(t, 1)
	f.now.Add(int64(2 * time.Hour))
	f.check(t, 1)
}

// Checks are a day apart, give or take an hour.
func TestNext(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	least, most := recheck.Next(now), recheck.Next(now)
	for range 1000 {
		next := recheck.Next(now)
		if d := next.Sub(now); d < 23*time.Hour || d > 25*time.Hour {
			t.Fatalf("the next check is %v later", d)
		}
		if next.Before(least) {
			least = next
		}
		if next.After(most) {
			most = next
		}
	}
	if most.Sub(least) < time.Hour {
		t.Errorf("checks spread over %v only", most.Sub(least))
	}
}

// Several workers check each domain once, and those of their region only.
func TestCheckTogether(t *testing.T) {
	f := newFixture(t)
	var all []*identityv1.Domain
	for _, name := range []string{"a.example", "b.example", "c.example", "d.example"} {
		all = append(all, f.verified(t, name))
	}
	f.now.Add(int64(day))
	if claimed, err := f.worker("us-east").Check(t.Context()); claimed != 0 || err != nil {
		t.Errorf("another region's: %d, %v", claimed, err)
	}
	var wait sync.WaitGroup
	var claimed atomic.Int64
	for range 3 {
		wait.Go(func() {
			n, err := f.worker("eu-west").Check(t.Context())
			if err != nil {
				t.Error(err)
			}
			claimed.Add(int64(n))
		})
	}
	wait.Wait()
	if claimed.Load() != 4 {
		t.Errorf("%d claims, want 4", claimed.Load())
	}
	for _, d := range all {
		if asked := f.dns.Asked(d.GetRecordName()); asked != 2 {
			t.Errorf("asked %d times about %s, want 2: the verification and the check", asked, d.GetName())
		}
	}
	f.check(t, 0)
}

// What happens to a domain while it is checked wins over the check.
func TestChangedDuringCheck(t *testing.T) {
	for name, change := range map[string]struct {
		do   func(f *fixture, d *identityv1.Domain) error
		want string
	}{
		"verified": {func(f *fixture, d *identityv1.Domain) error {
			_, err := f.domains.VerifyDomain(f.ctx, &identityv1.VerifyDomainRequest{Organization: f.org, Domain: d.GetId(), IdempotencyKey: "during"})
			return err
		}, "verified"},
		"removed": {func(f *fixture, d *identityv1.Domain) error {
			_, err := f.domains.RemoveDomain(f.ctx, &identityv1.RemoveDomainRequest{Organization: f.org, Domain: d.GetId(), IdempotencyKey: "during"})
			return err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			d := f.verified(t, "example.com")
			if _, err := f.db.Pool().Exec(t.Context(), `UPDATE identity.domains SET misses = 2`); err != nil {
				t.Fatal(err)
			}
			f.now.Add(int64(day))
			var begun atomic.Bool
			f.dns.Set(d.GetRecordName(), func(w dns.ResponseWriter, question *dns.Msg) {
				if begun.Swap(true) {
					dnstest.TXT(d.GetRecordValue())(w, question)
					return
				}
				f.now.Add(int64(time.Minute))
				if err := change.do(f, d); err != nil {
					t.Error(err)
				}
				dnstest.TXT("gone")(w, question)
			})
			f.check(t, 1)
			if change.want != "" && f.state(t, d) != change.want {
				t.Errorf("state %s, want %s", f.state(t, d), change.want)
			}
		})
	}
}

func TestRunEnds(t *testing.T) {
	f := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.worker("eu-west").Run(ctx) }()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

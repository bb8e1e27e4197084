package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/proof"
	"github.com/meridian-iam/meridian/services/identity/internal/proof/dnstest"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// domainFixture has DomainService, which asks a DNS server of the test.
type domainFixture struct {
	*fixture
	domains *rpc.Domains
	dns     *dnstest.Server
}

func newDomainFixture(t *testing.T) *domainFixture {
	t.Helper()
	f := &domainFixture{fixture: newFixture(t), dns: dnstest.New(t)}
	resolver, err := proof.DNS(f.dns.Addr)
	if err != nil {
		t.Fatal(err)
	}
	f.domains = &rpc.Domains{DB: f.db, Log: f.log, Resolver: resolver, Clock: func() time.Time { return time.Unix(0, f.now.Load()).UTC() }}
	return f
}

func (f *domainFixture) add(t *testing.T, ctx context.Context, org, name string) *identityv1.Domain {
	t.Helper()
	answer, err := f.domains.AddDomain(ctx, &identityv1.AddDomainRequest{Organization: org, Name: name, IdempotencyKey: "add " + org + name})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetDomain()
}

func (f *domainFixture) verify1(ctx context.Context, d *identityv1.Domain, key string) (*identityv1.Domain, error) {
	answer, err := f.domains.VerifyDomain(ctx, &identityv1.VerifyDomainRequest{Organization: d.GetOrganization(), Domain: d.GetId(), IdempotencyKey: key})
	return answer.GetDomain(), err
}

// prove adds a domain and verifies it.
func (f *domainFixture) prove(t *testing.T, ctx context.Context, org, name string) *identityv1.Domain {
	t.Helper()
	d := f.add(t, ctx, org, name)
	f.dns.Set(d.GetRecordName(), dnstest.TXT(d.GetRecordValue()))
	verified, err := f.verify1(ctx, d, "verify "+d.GetId())
	if err != nil {
		t.Fatal(err)
	}
	return verified
}

func TestDomainLife(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	d := f.add(t, ctx, org, "Mail.Bücher.example")
	if d.GetName() != "mail.xn--bcher-kva.example" || d.GetState() != identityv1.DomainState_DOMAIN_STATE_PENDING || d.GetCheckedAt() != nil ||
		d.GetRecordName() != "_meridian-challenge.mail.xn--bcher-kva.example" || len(d.GetRecordValue()) != len("meridian-domain-verification=")+32 {
		t.Errorf("added %v", d)
	}
	if _, err := f.verify1(ctx, d, "1"); !fault.Is(err, commonv1.Reason_DOMAIN_NOT_PROVEN) {
		t.Errorf("without the record: %v, want DOMAIN_NOT_PROVEN", err)
	}
	looked, err := f.domains.GetDomain(ctx, &identityv1.GetDomainRequest{Organization: org, Domain: d.GetId()})
	if err != nil || looked.GetDomain().GetCheckedAt() == nil || looked.GetDomain().GetState() != identityv1.DomainState_DOMAIN_STATE_PENDING {
		t.Errorf("after a look: %v, %v", looked, err)
	}
	f.dns.Set(d.GetRecordName(), dnstest.Code(dns.RcodeServerFailure))
	if _, err := f.verify1(ctx, d, "1"); !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Errorf("without an answer: %v, want SERVICE_UNAVAILABLE", err)
	}
	f.dns.Set(d.GetRecordName(), dnstest.TXT(d.GetRecordValue()))
	verified, err := f.verify1(ctx, d, "1")
	if err != nil || verified.GetState() != identityv1.DomainState_DOMAIN_STATE_VERIFIED || verified.GetCheckedAt() == nil {
		t.Fatalf("VerifyDomain = %v, %v", verified, err)
	}
	f.dns.Set(d.GetRecordName(), dnstest.Code(dns.RcodeServerFailure))
	again, err := f.verify1(ctx, d, "1")
	if err != nil || !proto.Equal(again, verified) {
		t.Errorf("repeated with the same key: %v, %v; want the first outcome", again, err)
	}
	f.dns.Set(d.GetRecordName(), nil)
	if _, err := f.verify1(ctx, d, "2"); !fault.Is(err, commonv1.Reason_DOMAIN_NOT_PROVEN) {
		t.Errorf("the record is gone: %v, want DOMAIN_NOT_PROVEN", err)
	}
	if got := f.lookUp(t, ctx, "MAIL.xn--bcher-kva.example"); got != "acme" {
		t.Errorf("LookUpDomain = %q: one miss ends nothing", got)
	}
	request := &identityv1.RemoveDomainRequest{Organization: org, Domain: d.GetId(), IdempotencyKey: "3"}
	removed, err := f.domains.RemoveDomain(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.domains.RemoveDomain(ctx, request); err != nil || again.GetRevision() != removed.GetRevision() {
		t.Errorf("repeated removal: %v, %v", again, err)
	}
	if again, err := f.verify1(ctx, d, "1"); err != nil || !proto.Equal(again, verified) {
		t.Errorf("a verification repeated after the removal: %v, %v", again, err)
	}
	if _, err := f.verify1(ctx, d, "4"); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("verified after the removal: %v, want NOT_FOUND", err)
	}
	if got := f.lookUp(t, ctx, "mail.bücher.example"); got != "" {
		t.Errorf("LookUpDomain = %q after the removal", got)
	}
	f.add(t, ctx, org, "MAIL.bücher.example") // the name is free again
	f.verify(t, org)
}

func (f *domainFixture) lookUp(t *testing.T, ctx context.Context, name string) string {
	t.Helper()
	answer, err := f.domains.LookUpDomain(ctx, &identityv1.LookUpDomainRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	var slugs []string
	for _, o := range answer.GetOrganizations() {
		slugs = append(slugs, o.GetSlug())
	}
	return strings.Join(slugs, " ")
}

// Several organizations prove one domain, each by its own challenge.
func TestOneDomainOfSeveralOrganizations(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	acme, globex, rival := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex"), f.organization(t, ctx, "rival")
	first, second, third := f.add(t, ctx, globex, "example.com"), f.add(t, ctx, acme, "example.com"), f.add(t, ctx, rival, "example.com")
	if first.GetRecordName() != second.GetRecordName() || first.GetRecordValue() == second.GetRecordValue() {
		t.Errorf("records %v and %v", first, second)
	}
	f.dns.Set(first.GetRecordName(), dnstest.TXT("something else", second.GetRecordValue(), first.GetRecordValue()))
	for _, d := range []*identityv1.Domain{first, second} {
		if _, err := f.verify1(ctx, d, "verify "+d.GetId()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.verify1(ctx, third, "verify"); !fault.Is(err, commonv1.Reason_DOMAIN_NOT_PROVEN) {
		t.Errorf("by the records of others: %v, want DOMAIN_NOT_PROVEN", err)
	}
	if got := f.lookUp(t, ctx, "example.com"); got != "acme globex" {
		t.Errorf("LookUpDomain = %q", got)
	}
	f.suspend(t, ctx, acme, "suspend")
	if got := f.lookUp(t, ctx, "example.com"); got != "globex" {
		t.Errorf("LookUpDomain = %q with acme suspended", got)
	}
	if got := f.lookUp(t, ctx, "mail.example.com"); got != "" {
		t.Errorf("LookUpDomain below it = %q", got)
	}
	if _, err := f.resume(ctx, acme, "resume"); err != nil {
		t.Fatal(err)
	}
	if got := f.lookUp(t, ctx, "example.com"); got != "acme globex" {
		t.Errorf("LookUpDomain = %q with acme resumed", got)
	}
}

func TestLookUpDomainIsBounded(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	for i := range 21 {
		org := f.organization(t, ctx, fmt.Sprintf("org-%02d", i))
		f.add(t, ctx, org, "example.com")
	}
	if _, err := f.db.Pool().Exec(ctx, `UPDATE identity.domains SET state = 2`); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(f.lookUp(t, ctx, "example.com")); len(got) != 20 || got[0] != "org-00" || got[19] != "org-19" {
		t.Errorf("LookUpDomain = %v, want the first 20", got)
	}
}

func TestDomainsRefuse(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	acme, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "other")
	d, nobody := f.add(t, ctx, acme, "example.com"), id.New(id.Organization)
	adds := func(org, name string) error {
		_, err := f.domains.AddDomain(ctx, &identityv1.AddDomainRequest{Organization: org, Name: name, IdempotencyKey: "again " + org + name})
		return err
	}
	foreign := &identityv1.Domain{Id: d.GetId(), Organization: other}
	absent := &identityv1.Domain{Id: id.New(id.Domain), Organization: other}
	reads := func(of *identityv1.Domain, token string) error {
		_, err := f.domains.GetDomain(ctx, &identityv1.GetDomainRequest{Organization: of.GetOrganization(), Domain: of.GetId(), AtLeast: token})
		return err
	}
	verifies := func(of *identityv1.Domain) error { _, err := f.verify1(ctx, of, "x "+of.GetId()); return err }
	removes := func(of *identityv1.Domain) error {
		_, err := f.domains.RemoveDomain(ctx, &identityv1.RemoveDomainRequest{Organization: of.GetOrganization(), Domain: of.GetId(), IdempotencyKey: "y " + of.GetId()})
		return err
	}
	_, listed := f.domains.ListDomains(ctx, &identityv1.ListDomainsRequest{Organization: nobody})
	_, forged := f.domains.ListDomains(ctx, &identityv1.ListDomainsRequest{Organization: acme, Cursor: "forged"})
	for name, tc := range map[string]struct {
		err  error
		want commonv1.Reason
	}{
		"the same domain":             {adds(acme, "EXAMPLE.com"), commonv1.Reason_ALREADY_EXISTS},
		"a public suffix":             {adds(acme, "co.uk"), commonv1.Reason_INVALID_FIELD},
		"in no organization":          {adds(nobody, "example.com"), commonv1.Reason_NOT_FOUND},
		"read of another's":           {reads(foreign, ""), commonv1.Reason_NOT_FOUND},
		"read with a forged revision": {reads(d, "forged"), commonv1.Reason_REVISION_MALFORMED},
		"verification of another's":   {verifies(foreign), commonv1.Reason_NOT_FOUND},
		"removal of another's":        {removes(foreign), commonv1.Reason_NOT_FOUND},
		"a list of nobody's":          {listed, commonv1.Reason_NOT_FOUND},
		"a list with a forged cursor": {forged, commonv1.Reason_INVALID_FIELD},
	} {
		if !fault.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}
	if a, b := reads(foreign, ""), reads(absent, ""); a.Error() != b.Error() {
		t.Errorf("another's domain answers %q, an absent one %q", a, b)
	}
	f.suspend(t, ctx, acme, "suspend")
	if err := adds(acme, "example.net"); !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
		t.Errorf("in a suspended organization: %v, want ORGANIZATION_STATE", err)
	}
	if err := verifies(d); !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
		t.Errorf("verified in a suspended organization: %v, want ORGANIZATION_STATE", err)
	}
	if err := removes(d); err != nil {
		t.Errorf("removed in a suspended organization: %v", err)
	}
	f.verify(t, acme)
	f.verify(t, other)
}

func TestListDomains(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	for _, name := range []string{"c.example", "a.example", "b.example"} {
		f.add(t, ctx, org, name)
	}
	f.add(t, ctx, other, "d.example")
	var names []string
	for cursor := ""; ; {
		answer, err := f.domains.ListDomains(ctx, &identityv1.ListDomainsRequest{Organization: org, PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range answer.GetDomains() {
			names = append(names, d.GetName())
		}
		if cursor = answer.GetNextCursor(); cursor == "" {
			break
		}
	}
	if strings.Join(names, " ") != "a.example b.example c.example" {
		t.Errorf("listed %v", names)
	}
}

// The limit holds when many are added at once.
func TestDomainLimit(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	for i := range 97 {
		f.add(t, ctx, org, fmt.Sprintf("d%d.example", i))
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			_, err := f.domains.AddDomain(ctx, &identityv1.AddDomainRequest{
				Organization: org, Name: fmt.Sprintf("more%d.example", i), IdempotencyKey: fmt.Sprint("more ", i),
			})
			if err != nil && !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	answer, err := f.domains.ListDomains(ctx, &identityv1.ListDomainsRequest{Organization: org, PageSize: 200})
	if err != nil || len(answer.GetDomains()) != 100 {
		t.Errorf("%d domains, %v; want 100", len(answer.GetDomains()), err)
	}
	f.verify(t, org)
}

// A verification that is under way when the domain is removed comes too late.
func TestRemovedDuringLookup(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	d := f.add(t, ctx, org, "example.com")
	f.dns.Set(d.GetRecordName(), func(w dns.ResponseWriter, question *dns.Msg) {
		_, err := f.domains.RemoveDomain(ctx, &identityv1.RemoveDomainRequest{Organization: org, Domain: d.GetId(), IdempotencyKey: "remove"})
		if err != nil {
			t.Error(err)
		}
		dnstest.TXT(d.GetRecordValue())(w, question)
	})
	if _, err := f.verify1(ctx, d, "verify"); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("VerifyDomain: %v, want NOT_FOUND", err)
	}
	f.verify(t, org)
}

func TestDomainsMoveHome(t *testing.T) {
	f, ctx := newDomainFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	f.prove(t, ctx, org, "a.example")
	if _, err := f.organizations.MoveHome(ctx, &identityv1.MoveHomeRequest{Organization: org, HomeRegion: "us-east", IdempotencyKey: "move"}); err != nil {
		t.Fatal(err)
	}
	f.add(t, ctx, org, "b.example")
	var homes []string
	if err := f.db.Pool().QueryRow(ctx, `SELECT array(SELECT home_region FROM identity.domains WHERE organization_id = $1)`, org).Scan(&homes); err != nil {
		t.Fatal(err)
	}
	if strings.Join(homes, " ") != "us-east us-east" {
		t.Errorf("its domains are at home in %v", homes)
	}
	f.verify(t, org)
}

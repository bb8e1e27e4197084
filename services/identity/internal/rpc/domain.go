package rpc

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/emaildomain"
	"github.com/meridian-iam/meridian/services/identity/internal/proof"
	"github.com/meridian-iam/meridian/services/identity/internal/recheck"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// maxProven is how many organizations LookUpDomain names at most.
const maxProven = 20

// Domains serves DomainService.
type Domains struct {
	identityv1connect.UnimplementedDomainServiceHandler

	DB       *sqldb.DB
	Log      *eventlog.Store
	Resolver proof.Resolver
	Clock    func() time.Time
}

var _ identityv1connect.DomainServiceHandler = (*Domains)(nil)

// AddDomain implements DomainService.
func (s *Domains) AddDomain(ctx context.Context, req *identityv1.AddDomainRequest) (*identityv1.AddDomainResponse, error) {
	name, err := emaildomain.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	command := emaildomain.Add{ID: id.New(id.Domain), Organization: req.GetOrganization(), Name: name}
	_, _ = rand.Read(command.Challenge[:]) // never fails, by its contract
	out := &identityv1.AddDomainResponse{}
	_, err = commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.DomainServiceAddDomainProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.add(ctx, tx, command, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Domains) add(
	ctx context.Context, tx pgx.Tx, command emaildomain.Add, caller principal.Principal, out *identityv1.AddDomainResponse,
) error {
	head, err := lockOpenOwner(ctx, tx, s.Log, command.Organization)
	if err != nil {
		return err
	}
	number, err := store.Count(ctx, tx, command.Organization, head.HomeRegion, store.Domains, 1)
	if err != nil {
		return err
	}
	command.Others = number - 1
	now := s.now()
	row := store.Domain{HomeRegion: head.HomeRegion, CreatedAt: now, CheckAt: now}
	events, err := command.Decide(row.State)
	if err != nil {
		return err
	}
	for _, e := range events {
		row.Apply(e)
	}
	if err := store.InsertDomain(ctx, tx, row); err != nil {
		return err
	}
	out.Domain = domainMessage(row)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// VerifyDomain implements DomainService. The DNS is asked before the transaction: it
// may take seconds.
func (s *Domains) VerifyDomain(ctx context.Context, req *identityv1.VerifyDomainRequest) (*identityv1.VerifyDomainResponse, error) {
	found, unknown := s.look(ctx, req.GetOrganization(), req.GetDomain())
	out := &identityv1.VerifyDomainResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.DomainServiceVerifyDomainProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			if unknown != nil { // said here, so that a repeated call gets the first outcome
				return unknown
			}
			return s.verify(ctx, tx, req, emaildomain.Verify{Found: found}, caller, out)
		})
	if fault.Is(err, commonv1.Reason_DOMAIN_NOT_PROVEN) {
		if err := store.MarkDomainChecked(ctx, s.DB.Pool(), req.GetOrganization(), req.GetDomain(), s.now()); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// look asks the DNS for the record of a domain.
//
// Errors: NOT_FOUND; SERVICE_UNAVAILABLE when the DNS did not answer.
func (s *Domains) look(ctx context.Context, organization, domain string) (found bool, err error) {
	row, err := store.FindDomain(ctx, s.DB.Pool(), organization, domain)
	if err != nil {
		return false, err
	}
	found, err = proof.Look(ctx, s.Resolver, row.RecordName(), row.RecordValue())
	if err != nil {
		return false, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "the DNS did not answer").
			Retry(time.Second).Because(err)
	}
	return found, nil
}

func (s *Domains) verify(
	ctx context.Context, tx pgx.Tx, req *identityv1.VerifyDomainRequest, command emaildomain.Verify, caller principal.Principal,
	out *identityv1.VerifyDomainResponse,
) error {
	head, err := lockOpenOwner(ctx, tx, s.Log, req.GetOrganization())
	if err != nil {
		return err
	}
	row, err := store.FindDomain(ctx, tx, req.GetOrganization(), req.GetDomain())
	if err != nil {
		return err
	}
	events, err := command.Decide(row.State)
	if err != nil {
		return err
	}
	for _, e := range events {
		row.Apply(e)
	}
	now := s.now()
	row.CheckedAt, row.CheckAt, row.Misses = &now, recheck.Next(now), 0
	if err := store.UpdateDomain(ctx, tx, row); err != nil {
		return err
	}
	out.Domain = domainMessage(row)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// GetDomain implements DomainService.
func (s *Domains) GetDomain(ctx context.Context, req *identityv1.GetDomainRequest) (*identityv1.GetDomainResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindDomain(ctx, s.DB.Pool(), req.GetOrganization(), req.GetDomain())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetDomainResponse{Domain: domainMessage(row)}, nil
}

// ListDomains implements DomainService.
func (s *Domains) ListDomains(ctx context.Context, req *identityv1.ListDomainsRequest) (*identityv1.ListDomainsResponse, error) {
	query := "domains of " + req.GetOrganization()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if _, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization()); err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListDomains(ctx, s.DB.Pool(), req.GetOrganization(), after, size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListDomainsResponse{}
	for _, row := range rows {
		out.Domains = append(out.Domains, domainMessage(row))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].Name)
	}
	return out, nil
}

// RemoveDomain implements DomainService.
func (s *Domains) RemoveDomain(ctx context.Context, req *identityv1.RemoveDomainRequest) (*identityv1.RemoveDomainResponse, error) {
	out := &identityv1.RemoveDomainResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.DomainServiceRemoveDomainProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, err := lockOwner(ctx, tx, s.Log, req.GetOrganization())
			if err != nil {
				return err
			}
			row, err := store.FindDomain(ctx, tx, req.GetOrganization(), req.GetDomain())
			if err != nil {
				return err
			}
			events, err := emaildomain.Remove{}.Decide(row.State)
			if err != nil {
				return err
			}
			if err := store.DeleteDomain(ctx, tx, req.GetOrganization(), req.GetDomain()); err != nil {
				return err
			}
			if _, err := store.Count(ctx, tx, row.Organization, head.HomeRegion, store.Domains, -1); err != nil {
				return err
			}
			out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// LookUpDomain implements DomainService.
func (s *Domains) LookUpDomain(ctx context.Context, req *identityv1.LookUpDomainRequest) (*identityv1.LookUpDomainResponse, error) {
	name, err := emaildomain.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	rows, err := store.FindProven(ctx, s.DB.Pool(), name, maxProven)
	if err != nil {
		return nil, err
	}
	out := &identityv1.LookUpDomainResponse{}
	for _, row := range rows {
		out.Organizations = append(out.Organizations, &identityv1.DomainOrganization{Organization: row.ID, Slug: row.Slug, Name: row.Name})
	}
	return out, nil
}

func (s *Domains) now() time.Time { return s.Clock().UTC().Truncate(time.Microsecond) }

func domainMessage(d store.Domain) *identityv1.Domain {
	m := &identityv1.Domain{
		Id: d.ID, Organization: d.Organization, Name: d.Name, State: identityv1.DomainState(d.Status), // numbered alike
		RecordName: d.RecordName(), RecordValue: d.RecordValue(), CreatedAt: timestamppb.New(d.CreatedAt),
	}
	if d.CheckedAt != nil {
		m.CheckedAt = timestamppb.New(*d.CheckedAt)
	}
	return m
}

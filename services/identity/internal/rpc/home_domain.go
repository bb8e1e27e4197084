package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

type domainsAtHome struct {
	*Domains

	peers *home.Peers[identityv1connect.DomainServiceClient]
}

// DomainsAtHome serves DomainService with writes executed at home.
func DomainsAtHome(s *Domains, ways *home.Router) identityv1connect.DomainServiceHandler {
	return &domainsAtHome{s, home.Clients(ways, identityv1connect.NewDomainServiceClient)}
}

// AddDomain implements DomainService.
func (s *domainsAtHome) AddDomain(ctx context.Context, req *identityv1.AddDomainRequest) (*identityv1.AddDomainResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.DomainServiceClient.AddDomain, s.Domains.AddDomain)
}

// VerifyDomain implements DomainService.
func (s *domainsAtHome) VerifyDomain(ctx context.Context, req *identityv1.VerifyDomainRequest) (*identityv1.VerifyDomainResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.DomainServiceClient.VerifyDomain, s.Domains.VerifyDomain)
}

// RemoveDomain implements DomainService.
func (s *domainsAtHome) RemoveDomain(ctx context.Context, req *identityv1.RemoveDomainRequest) (*identityv1.RemoveDomainResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.DomainServiceClient.RemoveDomain, s.Domains.RemoveDomain)
}

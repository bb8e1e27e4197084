package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/emaildomain"
)

// domainFold rebuilds the rows of an organization's email domains.
type domainFold struct {
	organization string
	domains      map[string]*emaildomain.State
}

func newDomainFold(organization string) *domainFold {
	return &domainFold{organization: organization, domains: map[string]*emaildomain.State{}}
}

func (f *domainFold) apply(event proto.Message) bool {
	var domain string
	switch e := event.(type) {
	case *eventv1.DomainAdded:
		domain = e.GetDomain()
		f.domains[domain] = &emaildomain.State{}
	case *eventv1.DomainVerified:
		domain = e.GetDomain()
	case *eventv1.DomainLapsed:
		domain = e.GetDomain()
	case *eventv1.DomainRemoved:
		domain = e.GetDomain()
		delete(f.domains, domain)
	default:
		return false
	}
	if d := f.domains[domain]; d != nil {
		d.Apply(event)
	}
	return true
}

func (f *domainFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 1000
	rows := 0
	for after := ""; ; {
		domains, err := ListDomains(ctx, q, f.organization, after, page)
		if err != nil {
			return "", err
		}
		for _, row := range domains {
			want := f.domains[row.ID]
			switch {
			case want == nil:
				return fmt.Sprintf("domain row %s is not in the log", row.ID), nil
			case row.State != *want:
				return fmt.Sprintf("domain row %s differs from the log", row.ID), nil
			}
		}
		rows += len(domains)
		if len(domains) < page {
			break
		}
		after = domains[len(domains)-1].Name
	}
	if rows != len(f.domains) {
		return fmt.Sprintf("%d domain rows, log says %d", rows, len(f.domains)), nil
	}
	return compareCount(ctx, q, f.organization, Domains, len(f.domains))
}

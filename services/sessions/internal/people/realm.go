package people

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// Realm is the organization whose policy holds for an address: the one that proved the
// address's domain, if it is one only; else "". It depends on the domain alone, never on
// whether somebody has the address.
//
// Compatibility forms of the @ separate as it does, as identity reads addresses: else
// one would lead around the organization's policy.
//
// Errors: unavailable.
func Realm(ctx context.Context, domains identityv1connect.DomainServiceClient, email string) (string, error) {
	_, domain, ok := strings.Cut(norm.NFKC.String(email), "@")
	if !ok || len(domain) < 3 || len(domain) > 253 {
		return "", nil
	}
	found, err := domains.LookUpDomain(ctx, &identityv1.LookUpDomainRequest{Name: domain})
	if fault.Is(err, commonv1.Reason_INVALID_FIELD) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up domain: %w", err)
	}
	if len(found.GetOrganizations()) != 1 {
		return "", nil
	}
	return found.GetOrganizations()[0].GetOrganization(), nil
}

package rpc_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/home/hometest"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

func TestWritesOfDomainsAreSentHome(t *testing.T) {
	t.Parallel()
	hometest.Complete(t, identityv1connect.DomainServiceName, func(ways *home.Router) any {
		return rpc.DomainsAtHome(&rpc.Domains{}, ways)
	})
}

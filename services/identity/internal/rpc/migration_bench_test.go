package rpc_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// BenchmarkImportUsers imports 100 users, each with a hash and a membership, in each
// call; one call after the other. "repeated" imports those who were imported before.
// See users/s. The whole import of 10,000 is -benchtime 100x.
func BenchmarkImportUsers(b *testing.B) {
	const perCall = 100
	for _, organizations := range []int{0, 1, 100} {
		for _, repeated := range []bool{false, true} {
			b.Run(fmt.Sprintf("organizations=%d/repeated=%t", organizations, repeated), func(b *testing.B) {
				m, orgs := benchMigration(b, organizations)
				ctx := principal.With(b.Context(), principal.Principal{Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN})
				next := 0
				call := func() *identityv1.ImportUsersRequest {
					r := &identityv1.ImportUsersRequest{Source: "console", IdempotencyKey: key()}
					for range perCall {
						next++
						u := person(fmt.Sprint(next), fmt.Sprintf("user-%d@example.com", next))
						if len(orgs) > 0 {
							u.Memberships = []*identityv1.ImportedMembership{{Organization: orgs[next%len(orgs)]}}
						}
						u.PasswordHash = foreignHash
						r.Users = append(r.Users, u)
					}
					return r
				}
				want := created
				if repeated {
					want = unchanged
					for range b.N {
						if _, err := m.ImportUsers(ctx, call()); err != nil {
							b.Fatal(err)
						}
					}
					next = 0
				}
				b.ResetTimer()
				for range b.N {
					answer, err := m.ImportUsers(ctx, call())
					if err != nil {
						b.Fatal(err)
					}
					for _, r := range answer.GetResults() {
						if r.GetOutcome() != want {
							b.Fatal(r)
						}
					}
				}
				b.ReportMetric(float64(b.N*perCall)/b.Elapsed().Seconds(), "users/s")
			})
		}
	}
}

func benchMigration(b *testing.B, organizations int) (*rpc.Migration, []string) {
	b.Helper()
	db := sqltest.New(b)
	regional, err := eventlog.NewRegionalKey(filepath.Join(b.TempDir(), "key"))
	if err != nil {
		b.Fatal(err)
	}
	index, err := blind.NewKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	hasher, err := password.New(password.Config{})
	if err != nil {
		b.Fatal(err)
	}
	log := eventlog.New(eventlog.Config{DB: db, Region: "eu-west", Vault: eventlog.NewVault(regional)})
	made := &rpc.Organizations{DB: db, Log: log, Region: "eu-west", Regions: []string{"eu-west"}, Clock: time.Now}
	ctx := principal.With(b.Context(), principal.Principal{Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN})
	var ids []string
	for i := range organizations {
		answer, err := made.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: fmt.Sprint("org-", i), Name: "Org", IdempotencyKey: key()})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, answer.GetOrganization().GetId())
	}
	return &rpc.Migration{
		DB: db, Log: log, Region: "eu-west", Regions: []string{"eu-west"}, PlatformRegion: "eu-west",
		Blind: index, Passwords: hasher, Clock: time.Now,
	}, ids
}

package store

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/serviceaccount"
)

// serviceAccountFold rebuilds the rows of an organization's service accounts.
type serviceAccountFold struct {
	organization string
	accounts     map[string]*serviceaccount.State
}

func newServiceAccountFold(organization string) *serviceAccountFold {
	return &serviceAccountFold{organization: organization, accounts: map[string]*serviceaccount.State{}}
}

func (f *serviceAccountFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.ServiceAccountCreated:
		f.accounts[e.GetServiceAccount()] = &serviceaccount.State{}
		f.accounts[e.GetServiceAccount()].Apply(e)
	case *eventv1.ServiceAccountChanged, *eventv1.ServiceAccountDisabled, *eventv1.ServiceAccountEnabled:
		about, _ := event.(interface{ GetServiceAccount() string })
		if account := f.accounts[about.GetServiceAccount()]; account != nil {
			account.Apply(event)
		}
	case *eventv1.ServiceAccountDeleted:
		delete(f.accounts, e.GetServiceAccount())
	default:
		return false
	}
	return true
}

func (f *serviceAccountFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 1000
	rows := 0
	for after := []byte(nil); ; {
		accounts, err := ListServiceAccounts(ctx, q, f.organization, after, page)
		if err != nil {
			return "", err
		}
		for _, row := range accounts {
			if want := f.accounts[row.ID]; want == nil || row.State != *want || !bytes.Equal(row.Key, want.NameKey()) {
				return fmt.Sprintf("service account row %s differs from the log", row.ID), nil
			}
		}
		rows += len(accounts)
		if len(accounts) < page {
			break
		}
		after = accounts[len(accounts)-1].Key
	}
	if rows != len(f.accounts) {
		return fmt.Sprintf("%d service account rows, log says %d", rows, len(f.accounts)), nil
	}
	return compareCount(ctx, q, f.organization, ServiceAccounts, rows)
}

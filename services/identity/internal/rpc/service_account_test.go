package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/serviceaccount"
)

func TestServiceAccountLife(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	request := &identityv1.CreateServiceAccountRequest{Organization: org, Name: "  Build Bot ", Description: "builds", IdempotencyKey: "1"}
	made, err := p.accounts.CreateServiceAccount(p.ctx, request)
	if err != nil || made.GetServiceAccount().GetName() != "Build Bot" || !id.Valid(id.ServiceAccount, made.GetServiceAccount().GetId()) {
		t.Fatalf("CreateServiceAccount = %v, %v", made, err)
	}
	again, err := p.accounts.CreateServiceAccount(p.ctx, request)
	if err != nil || !proto.Equal(again, made) {
		t.Errorf("repeated: %v, %v; want %v", again, err, made)
	}
	account := made.GetServiceAccount().GetId()
	get := func() *identityv1.ServiceAccount {
		got, err := p.accounts.GetServiceAccount(p.ctx, &identityv1.GetServiceAccountRequest{
			Organization: org, ServiceAccount: account, AtLeast: made.GetRevision(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetServiceAccount()
	}
	if got := get(); !proto.Equal(got, made.GetServiceAccount()) {
		t.Errorf("GetServiceAccount = %v, want %v", got, made.GetServiceAccount())
	}
	update := &identityv1.UpdateServiceAccountRequest{Organization: org, ServiceAccount: account, Disabled: new(true), IdempotencyKey: "2"}
	updated, err := p.accounts.UpdateServiceAccount(p.ctx, update)
	if err != nil || !updated.GetServiceAccount().GetDisabled() || updated.GetServiceAccount().GetDescription() != "builds" {
		t.Errorf("disabled: %v, %v", updated, err)
	}
	head := p.head(t, org)
	update.IdempotencyKey = "3"
	if same, err := p.accounts.UpdateServiceAccount(p.ctx, update); err != nil || p.head(t, org) != head || same.GetRevision() != updated.GetRevision() {
		t.Errorf("disabled again: %v, %v; want the revision of before and no event", same, err)
	}
	renamed := &identityv1.UpdateServiceAccountRequest{
		Organization: org, ServiceAccount: account, Name: new("Deploy Bot"), Description: new(""), Disabled: new(false), IdempotencyKey: "4",
	}
	if _, err := p.accounts.UpdateServiceAccount(p.ctx, renamed); err != nil {
		t.Fatal(err)
	}
	if got := get(); got.GetName() != "Deploy Bot" || got.GetDescription() != "" || got.GetDisabled() {
		t.Errorf("renamed and enabled: %v", got)
	}
	p.verify(t, org)
}

func TestServiceAccountNames(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	bot, second := p.account(t, org, "Straßen-Bot"), p.account(t, org, "second")
	create := func(org, name string) error {
		_, err := p.accounts.CreateServiceAccount(p.ctx, &identityv1.CreateServiceAccountRequest{Organization: org, Name: name, IdempotencyKey: p.key()})
		return err
	}
	rename := func(account, name string) error {
		_, err := p.accounts.UpdateServiceAccount(p.ctx, &identityv1.UpdateServiceAccountRequest{
			Organization: org, ServiceAccount: account, Name: &name, IdempotencyKey: p.key(),
		})
		return err
	}
	head := p.head(t, org)
	wantFault(t, create(org, "STRASSEN-BOT"), commonv1.Reason_ALREADY_EXISTS, "name")
	wantFault(t, rename(second, "Ｓtraßen-bot"), commonv1.Reason_ALREADY_EXISTS, "name")
	wantFault(t, create(org, " \u3000"), commonv1.Reason_INVALID_FIELD, "name")
	wantFault(t, rename(second, "a\u202eb"), commonv1.Reason_INVALID_FIELD, "name")
	wantFault(t, create(id.New(id.Organization), "bot"), commonv1.Reason_NOT_FOUND, "")
	if p.head(t, org) != head {
		t.Error("a refusal was recorded")
	}
	for what, err := range map[string]error{
		"the name in another organization": create(other, "Straßen-Bot"),
		"its own name in capitals":         rename(bot, "STRASSEN-BOT"),
		"another name":                     create(org, "third"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.verify(t, org)
	p.verify(t, other)
	p.fill(t, org, "service_accounts", serviceaccount.Limit)
	wantFault(t, create(org, "one more"), commonv1.Reason_LIMIT_REACHED, "service_accounts")
}

func TestListServiceAccounts(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	for _, name := range []string{"Zeta", "alpha", "Émile", "beta", "Éclair " + strings.Repeat("漢", 150)} {
		p.account(t, org, name)
	}
	p.account(t, other, "another's")
	var names []string
	for cursor := ""; ; {
		answer, err := p.accounts.ListServiceAccounts(p.ctx, &identityv1.ListServiceAccountsRequest{Organization: org, PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answer.GetServiceAccounts() {
			names = append(names, strings.TrimRight(a.GetName(), "漢 "))
		}
		if cursor = answer.GetNextCursor(); cursor == "" {
			break
		}
		if len(cursor) > 2048 {
			t.Errorf("a cursor of %d bytes", len(cursor))
		}
	}
	if got := strings.Join(names, " "); got != "alpha beta Zeta Éclair Émile" {
		t.Errorf("listed %s", got)
	}
	_, err := p.accounts.ListServiceAccounts(p.ctx, &identityv1.ListServiceAccountsRequest{Organization: id.New(id.Organization)})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	_, err = p.accounts.ListServiceAccounts(p.ctx, &identityv1.ListServiceAccountsRequest{Organization: org, Cursor: "forged"})
	wantFault(t, err, commonv1.Reason_INVALID_FIELD, "cursor")
	_, err = p.accounts.ListServiceAccounts(p.ctx, &identityv1.ListServiceAccountsRequest{Organization: org, AtLeast: "forged"})
	wantFault(t, err, commonv1.Reason_REVISION_MALFORMED, "at_least")
}

func TestDeleteServiceAccount(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	account, kept := p.account(t, org, "bot"), p.account(t, org, "kept")
	first, second := p.group(t, org, "first"), p.group(t, org, "second")
	for _, group := range []string{first, second} {
		p.mustChange(t, org, group, []string{account, kept}, nil)
	}
	token := id.New(id.Token)
	p.accounts.RevokeTokens = revoker(token)
	head := p.head(t, org)
	request := &identityv1.DeleteServiceAccountRequest{Organization: org, ServiceAccount: account, IdempotencyKey: "delete"}
	gone, err := p.accounts.DeleteServiceAccount(p.ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	want := []proto.Message{
		&eventv1.ApiTokenRevoked{Token: token},
		&eventv1.GroupMembersChanged{Group: first, Removed: []string{account}},
		&eventv1.GroupMembersChanged{Group: second, Removed: []string{account}},
		&eventv1.ServiceAccountDeleted{ServiceAccount: account, Organization: org},
	}
	if got := p.events(t, org, head); !slices.EqualFunc(got, want, proto.Equal) {
		t.Errorf("events %v, want %v", got, want)
	}
	if again, err := p.accounts.DeleteServiceAccount(p.ctx, request); err != nil || again.GetRevision() != gone.GetRevision() {
		t.Errorf("repeated: %v, %v", again, err)
	}
	request.IdempotencyKey = "again"
	_, err = p.accounts.DeleteServiceAccount(p.ctx, request)
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	if got, _ := p.membersOf(t, org, first, 10); !slices.Equal(got, []string{kept}) {
		t.Errorf("the group has %v", got)
	}
	p.account(t, org, "BOT") // the name is free
	p.verify(t, org)
}

// Another organization's service account and one that is absent are refused with
// the same words.
func TestServiceAccountsOfOthers(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	theirs := p.account(t, other, "bot")
	head := p.head(t, other)
	for name, call := range map[string]func(ctx context.Context, account string) error{
		"GetServiceAccount": func(ctx context.Context, account string) error {
			_, err := p.accounts.GetServiceAccount(ctx, &identityv1.GetServiceAccountRequest{Organization: org, ServiceAccount: account})
			return err
		},
		"UpdateServiceAccount": func(ctx context.Context, account string) error {
			_, err := p.accounts.UpdateServiceAccount(ctx, &identityv1.UpdateServiceAccountRequest{
				Organization: org, ServiceAccount: account, Disabled: new(true), IdempotencyKey: p.key(),
			})
			return err
		},
		"DeleteServiceAccount": func(ctx context.Context, account string) error {
			_, err := p.accounts.DeleteServiceAccount(ctx, &identityv1.DeleteServiceAccountRequest{
				Organization: org, ServiceAccount: account, IdempotencyKey: p.key(),
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			foreign, absent := call(p.ctx, theirs), call(p.ctx, id.New(id.ServiceAccount))
			if !fault.Is(foreign, commonv1.Reason_NOT_FOUND) || fmt.Sprint(foreign) != fmt.Sprint(absent) {
				t.Errorf("another's: %v; absent: %v", foreign, absent)
			}
		})
	}
	if p.head(t, other) != head {
		t.Error("something was recorded in the other organization's log")
	}
}

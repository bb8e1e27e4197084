package serve_test

import (
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// refused waits until calls come to a reason; 0 means that they are answered.
func refused(t *testing.T, what string, want commonv1.Reason, call func() error) {
	t.Helper()
	harness.Eventually(t, what, func() error {
		err := call()
		if want == 0 && err == nil || want != 0 && meridian.Is(err, want) {
			return nil
		}
		return fmt.Errorf("the answer is %w", err)
	})
}

// What identity decides about tokens holds in a process that hosts no identity.
func (s *split) testTokens(t *testing.T, organization string) {
	at := s.identity.Client(s.Token)
	create := func(req *identityv1.CreateApiTokenRequest, key string) *identityv1.CreateApiTokenResponse {
		t.Helper()
		req.Organization, req.Name, req.Level, req.IdempotencyKey = organization, key, commonv1.Level_LEVEL_READ, key
		made, err := at.Tokens.CreateApiToken(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	checks := func(secret string) func() error {
		client := s.authz.Client(secret)
		return func() error {
			_, err := client.Check(t.Context(), mayView(organization, "user:nobody", ""))
			return err
		}
	}
	product := create(&identityv1.CreateApiTokenRequest{}, "product")
	limited := create(&identityv1.CreateApiTokenRequest{Scopes: []string{"meridian.authz.v1.LookupService"}}, "limited")
	refused(t, "a live token", 0, checks(product.GetSecret()))
	refused(t, "a token of another scope", commonv1.Reason_ACCESS_DENIED, checks(limited.GetSecret()))

	rotated, err := at.Tokens.RotateApiToken(t.Context(), &identityv1.RotateApiTokenRequest{
		Organization: organization, Token: product.GetToken().GetId(), OverlapSeconds: 1, IdempotencyKey: "rotate",
	})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "the new token", 0, checks(rotated.GetSecret()))
	refused(t, "the old token after the overlap", commonv1.Reason_TOKEN_REJECTED, checks(product.GetSecret()))

	_, err = at.Organizations.SuspendOrganization(t.Context(), &identityv1.SuspendOrganizationRequest{Organization: organization, IdempotencyKey: "suspend"})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "a token of a suspended organization", commonv1.Reason_ORGANIZATION_STATE, checks(rotated.GetSecret()))
	refused(t, "the platform's token", 0, checks(s.Token))
	_, err = at.Organizations.ResumeOrganization(t.Context(), &identityv1.ResumeOrganizationRequest{Organization: organization, IdempotencyKey: "resume"})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "a token of a resumed organization", 0, checks(rotated.GetSecret()))
}

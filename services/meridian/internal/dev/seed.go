package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/demo"
	"github.com/meridian-iam/meridian/services/meridian/internal/relcsv"
)

// seed publishes the demo model and makes the demo organization, or finds
// both, and returns the organization's id. It calls as any client does.
func seed(ctx context.Context, url, token string) (string, error) {
	client := meridian.New(url, token)
	files, err := demo.Model()
	if err != nil {
		return "", err
	}
	model, err := client.Models.PublishModel(ctx, &authzv1.PublishModelRequest{
		Name: demo.Name, Files: files, IdempotencyKey: "demo-model-" + digest(files),
	})
	if err != nil {
		return "", fmt.Errorf("publish model: %w", err)
	}
	organization, err := organization(ctx, client)
	if err != nil {
		return "", err
	}
	_, err = client.Models.AssignModel(ctx, &authzv1.AssignModelRequest{
		Organization: organization, Choice: &authzv1.AssignModelRequest_Model{Model: model.GetModel().GetId()}, IdempotencyKey: "demo-assign-" + organization + "-" + digest(files),
	})
	if err != nil {
		return "", fmt.Errorf("assign model: %w", err)
	}
	imported, err := relcsv.Import(ctx, client, organization, demo.Relationships(), func(int) {})
	if err != nil {
		return "", fmt.Errorf("import relationships: %w", err)
	}
	if err := role(ctx, client, organization); err != nil {
		return "", err
	}
	// Ready means that checks answer from the seeded graph.
	_, err = client.Check(ctx, meridian.Question{
		Organization: organization, Subject: "user:olivia", Permission: "can_delete",
		Resource: "organization:" + demo.Slug, AtLeast: imported.GetRevision(),
	})
	return organization, err
}

// digest is another for another model: a folder of an earlier version gets the
// new demo model.
func digest(files []*authzv1.ModelFile) string {
	hash := sha256.New()
	for _, f := range files {
		fmt.Fprintf(hash, "%q %q\n", f.GetPath(), f.GetContent())
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// role names a role of the demo organization, whose relationships are imported,
// or finds it named.
func role(ctx context.Context, client *meridian.Client, organization string) error {
	_, err := client.Roles.CreateRole(ctx, &authzv1.CreateRoleRequest{
		Organization: organization, Role: "backup-operator", Name: "Backup operator", Description: "Makes and restores backups of production.",
		Permissions:    []*authzv1.RolePermission{{Resource: "service:prod", Relation: "can_manage_backups"}},
		IdempotencyKey: "demo-role-" + organization,
	})
	if err != nil && !meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		return fmt.Errorf("create role: %w", err)
	}
	return nil
}

// organization makes the demo organization, or finds it.
func organization(ctx context.Context, client *meridian.Client) (string, error) {
	created, err := client.Organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Slug: demo.Slug, Name: "Acme (demo)", IdempotencyKey: "demo-organization",
	})
	if err == nil {
		return created.GetOrganization().GetId(), nil
	}
	if !meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		return "", fmt.Errorf("create organization: %w", err)
	}
	for cursor := ""; ; {
		list, err := client.Organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{PageSize: 200, Cursor: cursor})
		if err != nil {
			return "", fmt.Errorf("list organizations: %w", err)
		}
		for _, o := range list.GetOrganizations() {
			if o.GetSlug() == demo.Slug {
				return o.GetId(), nil
			}
		}
		if cursor = list.GetNextCursor(); cursor == "" {
			return "", fmt.Errorf("the organization %s exists and is not listed", demo.Slug)
		}
	}
}

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

// seed publishes the demo model and makes the demo organizations with their
// people, or finds them, and returns the first organization's id. It calls as any
// client does.
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
	organizations := map[string]string{}
	for _, o := range demo.Organizations() {
		id, err := organization(ctx, client, o)
		if err != nil {
			return "", err
		}
		if id == "" {
			continue
		}
		organizations[o.Slug] = id
		_, err = client.Models.AssignModel(ctx, &authzv1.AssignModelRequest{
			Organization: id, Choice: &authzv1.AssignModelRequest_Model{Model: model.GetModel().GetId()}, IdempotencyKey: "demo-assign-" + id + "-" + digest(files),
		})
		// Of the first one all else depends; others may be given up.
		if err != nil && (o.Slug == demo.Slug || !changed(err)) {
			return "", fmt.Errorf("assign model to %s: %w", o.Slug, err)
		}
	}
	id := organizations[demo.Slug]
	return id, fill(ctx, client, organizations)
}

// fill gives the organizations people and the first one relationships and a role.
// Afterwards checks answer from the seeded graph.
func fill(ctx context.Context, client *meridian.Client, organizations map[string]string) error {
	organization := organizations[demo.Slug]
	imported, err := relcsv.Import(ctx, client, organization, demo.Relationships(), func(int) {})
	if err != nil {
		return fmt.Errorf("import relationships: %w", err)
	}
	if err := role(ctx, client, organization); err != nil {
		return err
	}
	groups, err := people(ctx, client, organizations)
	if err != nil {
		return err
	}
	revision := imported.GetRevision()
	if group := groups[demo.Readers]; group != "" {
		revision, err = client.Write(ctx, organization, meridian.Touch("service:prod", "viewer", "group:"+group+"#member"))
		if err != nil {
			return fmt.Errorf("relationship of a group: %w", err)
		}
	}
	_, err = client.Check(ctx, meridian.Question{
		Organization: organization, Subject: "user:olivia", Permission: "can_delete",
		Resource: "organization:" + demo.Slug, AtLeast: revision,
	})
	return err
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

// organization makes a demo organization, or finds it; empty when it was deleted.
func organization(ctx context.Context, client *meridian.Client, o demo.Organization) (string, error) {
	key := "demo-organization"
	if o.Slug != demo.Slug {
		key += "-" + o.Slug
	}
	created, err := client.Organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Slug: o.Slug, Name: o.Name, IdempotencyKey: key,
	})
	if err == nil {
		return created.GetOrganization().GetId(), nil
	}
	if !meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		return "", fmt.Errorf("create organization: %w", err)
	}
	request := &identityv1.ListOrganizationsRequest{Search: o.Slug, PageSize: 200}
	for {
		list, err := client.Organizations.ListOrganizations(ctx, request)
		if err != nil {
			return "", fmt.Errorf("list organizations: %w", err)
		}
		for _, found := range list.GetOrganizations() {
			if found.GetSlug() == o.Slug {
				return found.GetId(), nil
			}
		}
		if request.Cursor = list.GetNextCursor(); request.GetCursor() != "" {
			continue
		}
		if o.Slug == demo.Slug {
			return "", fmt.Errorf("the organization %s was deleted; begin in a new folder", o.Slug)
		}
		return "", nil
	}
}

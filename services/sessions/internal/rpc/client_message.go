package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// settings are those of a request, complete, if a client of the organization may have
// them. What can be seen here is looked at before identity is asked.
//
// Errors: INVALID_FIELD; those of open and account.
func (s *Clients) settings(ctx context.Context, organization string, given *sessionsv1.ClientSettings) (*eventv1.ClientSettings, error) {
	if given == nil {
		return nil, fault.Field("settings", "required", "are missing")
	}
	settings := &eventv1.ClientSettings{}
	if err := rewrite(given, settings); err != nil {
		return nil, err
	}
	settings, err := client.Complete(settings, organization)
	if err != nil {
		return nil, err
	}
	if settings.GetJwks() != "" {
		if _, err := jose.ParseKeys("settings.jwks", settings.GetJwks()); err != nil {
			return nil, err
		}
	}
	if err := s.open(ctx, organization); err != nil {
		return nil, err
	}
	if settings.GetServiceAccount() != "" {
		return settings, s.account(ctx, organization, settings.GetServiceAccount())
	}
	return settings, nil
}

// rewrite copies settings between the contract and events, whose fields have the same
// numbers and, enums being numbers, the same form.
func rewrite(from, into proto.Message) error {
	wire, err := proto.Marshal(from)
	if err != nil {
		return fmt.Errorf("settings of a client: %w", err)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(wire, into); err != nil {
		return fmt.Errorf("settings of a client: %w", err)
	}
	return nil
}

// clientMessage is a client as it is at a time; nil for none.
func clientMessage(row store.Client, at time.Time) *sessionsv1.Client {
	if row.ID == "" {
		return nil
	}
	settings := &sessionsv1.ClientSettings{}
	_ = rewrite(row.Settings, settings) // of text that was stored as such: see TestSettingsHaveOneForm
	out := &sessionsv1.Client{
		Id: row.ID, Organization: row.Organization, Settings: settings, Disabled: row.Disabled, CreatedAt: timestamppb.New(row.CreatedAt),
	}
	for _, secret := range row.Stored {
		if !secret.Live(at) {
			continue
		}
		message := &sessionsv1.ClientSecret{Id: secret.ID, CreatedAt: timestamppb.New(secret.CreatedAt)}
		if !secret.ExpiresAt.IsZero() {
			message.ExpiresAt = timestamppb.New(secret.ExpiresAt)
		}
		out.Secrets = append(out.Secrets, message)
	}
	return out
}

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// ClientChange is what events about a client do not say of its rows.
type ClientChange struct {
	Events []proto.Message
	// At is now. HomeRegion is where the owner's log is at home: rows that were written
	// before it moved follow with the next change.
	At         time.Time
	HomeRegion string
	// Hash is that of the secret that is added, if one is.
	Hash client.Hash
}

// ChangeClient applies events about one client, in order, to its rows and to c, which
// are its rows as they are before. Each statement is by a primary key.
func ChangeClient(ctx context.Context, tx pgx.Tx, c *Client, change ClientChange) error {
	if len(change.Events) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	moved := c.ID != "" && c.HomeRegion != change.HomeRegion
	c.HomeRegion = change.HomeRegion
	for _, event := range change.Events {
		if err := change.queue(batch, c, event); err != nil {
			return err
		}
	}
	if moved && c.ID != "" {
		batch.Queue(`UPDATE sessions.clients SET home_region = $2 WHERE client_id = $1`, c.ID, c.HomeRegion)
		batch.Queue(`UPDATE sessions.client_secrets SET home_region = $2 WHERE client_id = $1`, c.ID, c.HomeRegion)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("change client: %w", err)
	}
	return nil
}

// queue applies one event to c, and queues what it changes.
func (change ClientChange) queue(batch *pgx.Batch, c *Client, event proto.Message) error {
	before := c.ID
	c.Apply(event)
	switch e := event.(type) {
	case *eventv1.ClientCreated:
		c.CreatedAt = change.At
		settings, err := protojson.Marshal(c.Settings)
		if err != nil {
			return fmt.Errorf("settings of a client: %w", err)
		}
		batch.Queue(`INSERT INTO sessions.clients (client_id, organization_id, settings, disabled, home_region, created_at, used_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, c.ID, c.Organization, settings, c.Disabled, c.HomeRegion, c.CreatedAt, change.used(c))
	case *eventv1.ClientSettingsChanged, *eventv1.ClientDisabled, *eventv1.ClientEnabled:
		settings, err := protojson.Marshal(c.Settings)
		if err != nil {
			return fmt.Errorf("settings of a client: %w", err)
		}
		batch.Queue(`UPDATE sessions.clients SET settings = $2, disabled = $3, used_at = $4 WHERE client_id = $1`,
			c.ID, settings, c.Disabled, change.used(c))
	case *eventv1.ClientDeleted:
		batch.Queue(`DELETE FROM sessions.client_secrets WHERE client_id = $1`, before)
		batch.Queue(`DELETE FROM sessions.clients WHERE client_id = $1`, before)
		*c = Client{}
	default:
		change.queueSecret(batch, c, e)
	}
	return nil
}

// used is when a client was used last that does not stay otherwise: whoever says so of
// one uses it.
func (change ClientChange) used(c *Client) *time.Time {
	switch {
	case !c.Settings.GetDeleteUnused():
		c.UsedAt = time.Time{}
		return nil
	case c.UsedAt.IsZero():
		c.UsedAt = change.At
	}
	return &c.UsedAt
}

// queueSecret is queue for the secrets.
func (change ClientChange) queueSecret(batch *pgx.Batch, c *Client, event proto.Message) {
	switch e := event.(type) {
	case *eventv1.ClientSecretAdded:
		s := ClientSecret{ID: e.GetSecret(), Hash: change.Hash[:], CreatedAt: change.At}
		c.Stored = append(c.Stored, s)
		batch.Queue(`INSERT INTO sessions.client_secrets (client_id, secret_id, hash, home_region, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, NULL)`, c.ID, s.ID, s.Hash, c.HomeRegion, s.CreatedAt)
	case *eventv1.ClientSecretExpiryChanged:
		for i := range c.Stored {
			if c.Stored[i].ID == e.GetSecret() {
				c.Stored[i].ExpiresAt = e.GetExpiresAt().AsTime()
			}
		}
		batch.Queue(`UPDATE sessions.client_secrets SET expires_at = $3 WHERE client_id = $1 AND secret_id = $2`,
			c.ID, e.GetSecret(), e.GetExpiresAt().AsTime())
	case *eventv1.ClientSecretRevoked:
		c.Stored = slices.DeleteFunc(c.Stored, func(s ClientSecret) bool { return s.ID == e.GetSecret() })
		batch.Queue(`DELETE FROM sessions.client_secrets WHERE client_id = $1 AND secret_id = $2`, c.ID, e.GetSecret())
	}
}

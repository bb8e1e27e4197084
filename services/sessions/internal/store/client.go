// Package store reads and writes the rows of the sessions schema.
package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// Client is a row of sessions.clients, with its rows of sessions.client_secrets.
type Client struct {
	client.State

	HomeRegion string
	CreatedAt  time.Time
	// UsedAt is when it was used last, to the day; zero for one that stays, used or not.
	UsedAt time.Time
	// Stored are what is stored of State.Secrets, ordered by id.
	Stored []ClientSecret
}

// ClientSecret is a row of sessions.client_secrets.
type ClientSecret struct {
	ID string
	// Hash is that of client.HashSecret.
	Hash      []byte
	CreatedAt time.Time
	// ExpiresAt is zero for one that does not end by itself.
	ExpiresAt time.Time
}

// Live says whether the secret has not ended.
func (s ClientSecret) Live(at time.Time) bool { return s.ExpiresAt.IsZero() || at.Before(s.ExpiresAt) }

// Method is how the client authenticates.
func (c Client) Method() sessionsv1.ClientAuthentication {
	return sessionsv1.ClientAuthentication(c.Settings.GetAuthentication())
}

// joined are the columns of a client and of one of its secrets.
const joined = `c.client_id, c.organization_id, c.settings, c.disabled, c.home_region, c.created_at, c.used_at,
	s.secret_id, s.hash, s.created_at, s.expires_at`

// FindClient reads a client and its secrets by the primary keys, in one query.
//
// Errors: NOT_FOUND.
func FindClient(ctx context.Context, q sqldb.Querier, id string) (Client, error) {
	clients, err := queryClients(ctx, q,
		`SELECT `+joined+` FROM sessions.clients c LEFT JOIN sessions.client_secrets s ON s.client_id = c.client_id
		 WHERE c.client_id = $1 ORDER BY s.secret_id`, id)
	if err != nil {
		return Client{}, err
	}
	if len(clients) == 0 {
		return Client{}, client.NotFound()
	}
	return clients[0], nil
}

// FindClientOf is FindClient for a client of an organization or, for "", of the
// platform.
//
// Errors: NOT_FOUND, for another's as for an absent one.
func FindClientOf(ctx context.Context, q sqldb.Querier, organization, id string) (Client, error) {
	c, err := FindClient(ctx, q, id)
	if err == nil && c.Organization != organization {
		return Client{}, client.NotFound()
	}
	return c, err
}

// ListClients reads up to limit clients of an organization or, for "", of the platform
// after an id, oldest first, by the index clients_organization, and their secrets by
// their primary key.
func ListClients(ctx context.Context, q sqldb.Querier, organization, after string, limit int) ([]Client, error) {
	return queryClients(ctx, q,
		`SELECT `+joined+` FROM (
		   SELECT client_id, organization_id, settings, disabled, home_region, created_at, used_at FROM sessions.clients
		   WHERE organization_id = $1 AND client_id > $2 ORDER BY client_id LIMIT $3
		 ) c LEFT JOIN sessions.client_secrets s ON s.client_id = c.client_id
		 ORDER BY c.client_id, s.secret_id`, organization, after, limit)
}

// CountClients counts the clients of an organization or, for "", of the platform, by
// the index clients_organization: there are a thousand at most.
func CountClients(ctx context.Context, q sqldb.Querier, organization string) (number int64, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FROM sessions.clients WHERE organization_id = $1`, organization).Scan(&number)
	return number, sqldb.Unavailable(err)
}

// UseClient writes that a client is used that does not stay otherwise, by the primary key.
func UseClient(ctx context.Context, db *sqldb.DB, id string, at time.Time) error {
	_, err := db.Pool().Exec(ctx, `UPDATE sessions.clients SET used_at = $2 WHERE client_id = $1 AND used_at < $2`, id, at)
	return sqldb.Unavailable(err)
}

// UnusedClient is one that was not used for long, and its owner.
type UnusedClient struct{ ID, Organization string }

// ListUnusedClients reads up to limit clients at home in a region that were used last
// at a time or before, by the index clients_used.
func ListUnusedClients(ctx context.Context, q sqldb.Querier, region string, before time.Time, limit int) ([]UnusedClient, error) {
	rows, err := q.Query(ctx, `SELECT client_id, organization_id FROM sessions.clients WHERE home_region = $1 AND used_at <= $2
		ORDER BY used_at LIMIT $3`, region, before, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[UnusedClient])
	return out, sqldb.Unavailable(err)
}

// queryClients reads rows of joined that are ordered by client.
func queryClients(ctx context.Context, q sqldb.Querier, query string, args ...any) ([]Client, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	defer rows.Close()
	var out []Client
	for rows.Next() {
		c, s, err := scanClient(rows)
		if err != nil {
			return nil, sqldb.Unavailable(err)
		}
		if len(out) == 0 || out[len(out)-1].ID != c.ID {
			out = append(out, c)
		}
		if s.ID != "" {
			last := &out[len(out)-1]
			last.Stored = append(last.Stored, s)
			last.Secrets[s.ID] = s.ExpiresAt
		}
	}
	return out, sqldb.Unavailable(rows.Err())
}

func scanClient(row pgx.Row) (Client, ClientSecret, error) {
	c, s := Client{State: client.State{Settings: &eventv1.ClientSettings{}, Secrets: map[string]time.Time{}}}, ClientSecret{}
	var settings []byte
	var secret *string
	var used, created, expires *time.Time
	err := row.Scan(&c.ID, &c.Organization, &settings, &c.Disabled, &c.HomeRegion, &c.CreatedAt, &used,
		&secret, &s.Hash, &created, &expires)
	if err != nil {
		return c, s, err
	}
	// What a newer version stored and this one does not know is left alone.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(settings, c.Settings); err != nil {
		return c, s, fmt.Errorf("settings of client %s: %w", c.ID, err)
	}
	if used != nil {
		c.UsedAt = *used
	}
	if secret != nil {
		s.ID, s.CreatedAt = *secret, *created
	}
	if expires != nil {
		s.ExpiresAt = *expires
	}
	return c, s, nil
}

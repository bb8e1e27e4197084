package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Block is a row of sessions.client_blocks: a client that is refused for an organization
// or, for "", for everybody.
type Block struct {
	Organization, Client string
	HomeRegion           string
	BlockedAt            time.Time
}

// PutBlock writes a row that is not there.
func PutBlock(ctx context.Context, tx pgx.Tx, b Block) error {
	_, err := tx.Exec(ctx, `INSERT INTO sessions.client_blocks (organization_id, client_id, home_region, blocked_at) VALUES ($1, $2, $3, $4)`,
		b.Organization, b.Client, b.HomeRegion, b.BlockedAt)
	if err != nil {
		return fmt.Errorf("put block: %w", err)
	}
	return nil
}

// DeleteBlock removes a row.
func DeleteBlock(ctx context.Context, tx pgx.Tx, organization, client string) error {
	_, err := tx.Exec(ctx, `DELETE FROM sessions.client_blocks WHERE organization_id = $1 AND client_id = $2`, organization, client)
	if err != nil {
		return fmt.Errorf("delete block: %w", err)
	}
	return nil
}

// Blocked says whether a client is blocked for everybody or for one of some
// organizations, by the primary key.
func Blocked(ctx context.Context, q sqldb.Querier, client string, organizations ...string) (blocked bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM sessions.client_blocks WHERE organization_id = ANY($1) AND client_id = $2)`,
		append([]string{""}, organizations...), client).Scan(&blocked)
	return blocked, sqldb.Unavailable(err)
}

// ListBlocks reads what is blocked for an organization or, for "", for everybody, ordered
// by client, by the primary key: a thousand at most.
func ListBlocks(ctx context.Context, q sqldb.Querier, organization string) ([]Block, error) {
	rows, err := q.Query(ctx, `SELECT organization_id, client_id, home_region, blocked_at FROM sessions.client_blocks
		 WHERE organization_id = $1 ORDER BY client_id`, organization)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	blocks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Block])
	return blocks, sqldb.Unavailable(err)
}

// blockFold rebuilds what is blocked for an organization; "": for everybody.
type blockFold struct {
	organization string
	blocked      map[string]bool
}

func newBlockFold(organization string) *blockFold {
	return &blockFold{organization: organization, blocked: map[string]bool{}}
}

func (f *blockFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.ClientBlocked:
		f.blocked[e.GetClient()] = true
	case *eventv1.ClientUnblocked:
		delete(f.blocked, e.GetClient())
	default:
		return false
	}
	return true
}

func (f *blockFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := ListBlocks(ctx, q, f.organization)
	if err != nil {
		return "", err
	}
	have := make([]string, 0, len(rows))
	for _, row := range rows {
		have = append(have, row.Client)
	}
	slices.Sort(have) // as Go orders, whatever the database's collation is
	if want := slices.Sorted(maps.Keys(f.blocked)); !slices.Equal(have, want) {
		return fmt.Sprintf("blocked clients: the rows say %q, the log %q", have, want), nil
	}
	return "", nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Model is a row of authz.models.
type Model struct {
	ID        string
	Name      string
	Files     []*eventv1.ModelFile // nil in lists
	CreatedAt time.Time
}

// InsertModel writes a published model.
func InsertModel(ctx context.Context, tx pgx.Tx, m Model) error {
	files, err := proto.Marshal(&eventv1.ModelPublished{Model: m.ID, Name: m.Name, Files: m.Files})
	if err != nil {
		return fmt.Errorf("marshal model: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO authz.models (model_id, name, files, created_at) VALUES ($1, $2, $3, $4)`,
		m.ID, m.Name, files, m.CreatedAt)
	if err != nil {
		return fmt.Errorf("insert model: %w", err)
	}
	return nil
}

// FindModel reads one model with its files.
//
// Errors: NOT_FOUND.
func FindModel(ctx context.Context, q sqldb.Querier, model string) (Model, error) {
	m := Model{ID: model}
	var files []byte
	err := q.QueryRow(ctx, `SELECT name, files, created_at FROM authz.models WHERE model_id = $1`, model).
		Scan(&m.Name, &files, &m.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Model{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such model")
	}
	if err != nil {
		return Model{}, sqldb.Unavailable(err)
	}
	var event eventv1.ModelPublished
	if err := proto.Unmarshal(files, &event); err != nil {
		return Model{}, fmt.Errorf("read model %s: %w", model, err)
	}
	m.Files = event.GetFiles()
	return m, nil
}

// ListModels reads up to limit models before a place, newest first, by the
// index models_created_at. A zero place starts at the newest.
func ListModels(ctx context.Context, q sqldb.Querier, before time.Time, beforeID string, limit int) ([]Model, error) {
	rows, err := q.Query(ctx,
		`SELECT model_id, name, created_at FROM authz.models
		 WHERE $2 = '' OR (created_at, model_id) < ($1, $2) ORDER BY created_at DESC, model_id DESC LIMIT $3`,
		before, beforeID, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Model, error) {
		var m Model
		err := row.Scan(&m.ID, &m.Name, &m.CreatedAt)
		return m, err
	})
	return out, sqldb.Unavailable(err)
}

// Assignment is a row of authz.assignments.
type Assignment struct {
	Organization string
	HomeRegion   string
	Model        string
	Sequence     uint64
}

// PutAssignment writes which model an organization uses.
func PutAssignment(ctx context.Context, tx pgx.Tx, a Assignment) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO authz.assignments (organization_id, home_region, model_id, sequence) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (organization_id) DO UPDATE SET model_id = excluded.model_id, sequence = excluded.sequence`,
		a.Organization, a.HomeRegion, a.Model, int64(a.Sequence))
	if err != nil {
		return fmt.Errorf("put assignment: %w", err)
	}
	return nil
}

// FindAssignment reads which model an organization uses.
//
// Errors: MODEL_NOT_ASSIGNED.
func FindAssignment(ctx context.Context, q sqldb.Querier, organization string) (Assignment, error) {
	a := Assignment{Organization: organization}
	var sequence int64
	err := q.QueryRow(ctx, `SELECT home_region, model_id, sequence FROM authz.assignments WHERE organization_id = $1`, organization).
		Scan(&a.HomeRegion, &a.Model, &sequence)
	if errors.Is(err, pgx.ErrNoRows) {
		return Assignment{}, ModelNotAssigned()
	}
	if err != nil {
		return Assignment{}, fmt.Errorf("find assignment: %w", err)
	}
	a.Sequence = uint64(sequence)
	return a, nil
}

// ModelNotAssigned is the fault of an organization without a model.
func ModelNotAssigned() *fault.Fault {
	return fault.New(fault.Precondition, commonv1.Reason_MODEL_NOT_ASSIGNED, "the organization has no model; assign one first")
}

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
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
)

// Model is a row of authz.models.
type Model struct {
	ID        string
	Name      string
	Files     []*eventv1.ModelFile // nil in lists
	CreatedAt time.Time
	State     eventv1.ModelState
	Audience  model.Audience // of a canary
}

// InsertModel writes a published model, a draft.
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
func FindModel(ctx context.Context, q sqldb.Querier, id string) (Model, error) {
	m := Model{ID: id}
	var files []byte
	err := q.QueryRow(ctx,
		`SELECT name, created_at, state, canary_organizations, canary_basis_points, files FROM authz.models WHERE model_id = $1`, id).
		Scan(&m.Name, &m.CreatedAt, &m.State, &m.Audience.Organizations, &m.Audience.BasisPoints, &files)
	if errors.Is(err, pgx.ErrNoRows) {
		return Model{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such model")
	}
	if err != nil {
		return Model{}, sqldb.Unavailable(err)
	}
	var event eventv1.ModelPublished
	if err := proto.Unmarshal(files, &event); err != nil {
		return Model{}, fmt.Errorf("read model %s: %w", id, err)
	}
	m.Files = event.GetFiles()
	return m, nil
}

// FindModelState reads where a model is in its life.
//
// Errors: NOT_FOUND.
func FindModelState(ctx context.Context, q sqldb.Querier, id string) (eventv1.ModelState, error) {
	var state eventv1.ModelState
	err := q.QueryRow(ctx, `SELECT state FROM authz.models WHERE model_id = $1`, id).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such model")
	}
	if err != nil {
		return 0, fmt.Errorf("find state of a model: %w", err)
	}
	return state, nil
}

// NameExists says whether any model has a name. It reads all models: it is for
// telling an unknown line from one with nothing active.
func NameExists(ctx context.Context, q sqldb.Querier, name string) (bool, error) {
	var found bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM authz.models WHERE name = $1)`, name).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("find name of a model: %w", err)
	}
	return found, nil
}

// ListModels reads up to limit models before a place, newest first, by the
// index models_created_at. A zero place starts at the newest.
func ListModels(ctx context.Context, q sqldb.Querier, before time.Time, beforeID string, limit int) ([]Model, error) {
	rows, err := q.Query(ctx,
		`SELECT model_id, name, created_at, state, canary_organizations, canary_basis_points FROM authz.models
		 WHERE $2 = '' OR (created_at, model_id) < ($1, $2) ORDER BY created_at DESC, model_id DESC LIMIT $3`,
		before, beforeID, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Model, error) {
		var m Model
		err := row.Scan(&m.ID, &m.Name, &m.CreatedAt, &m.State, &m.Audience.Organizations, &m.Audience.BasisPoints)
		return m, err
	})
	return out, sqldb.Unavailable(err)
}

// ApplyModelState writes where a model is in its life.
func ApplyModelState(ctx context.Context, tx pgx.Tx, e *eventv1.ModelStateChanged) error {
	organizations := e.GetOrganizations()
	if organizations == nil {
		organizations = []string{}
	}
	_, err := tx.Exec(ctx,
		`UPDATE authz.models SET state = $2, canary_organizations = $3, canary_basis_points = $4 WHERE model_id = $1`,
		e.GetModel(), int16(e.GetState()), organizations, e.GetBasisPoints())
	if err != nil {
		return fmt.Errorf("set model state: %w", err)
	}
	return nil
}

// FindLine reads what the models of a name offer, by the indexes models_active
// and models_canary. A name that no model has is an empty line.
func FindLine(ctx context.Context, q sqldb.Querier, name string) (model.Line, error) {
	var line model.Line
	rows, err := q.Query(ctx,
		`SELECT model_id, state, canary_organizations, canary_basis_points FROM authz.models WHERE name = $1 AND state = 2
		 UNION ALL
		 SELECT model_id, state, canary_organizations, canary_basis_points FROM authz.models WHERE name = $1 AND state = 3`, name)
	if err != nil {
		return line, fmt.Errorf("find line: %w", err)
	}
	var found Model
	_, err = pgx.ForEachRow(rows, []any{&found.ID, &found.State, &found.Audience.Organizations, &found.Audience.BasisPoints}, func() error {
		if found.State == model.Active {
			line.Active = found.ID
		} else {
			line.Canary, line.Audience = found.ID, found.Audience
		}
		found.Audience = model.Audience{}
		return nil
	})
	if err != nil {
		return line, fmt.Errorf("find line: %w", err)
	}
	return line, nil
}

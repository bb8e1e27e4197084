package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
)

func (f *folding) compareAssignment(ctx context.Context, q sqldb.Querier) (string, error) {
	row, err := FindAssignment(ctx, q, f.log)
	switch {
	case fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED) && f.assigned.Model == "":
		return "", nil
	case fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED):
		return "assignment row is missing", nil
	case err != nil:
		return "", err
	}
	row.Organization = ""
	if row != f.assigned {
		return fmt.Sprintf("assignment row says %s of line %q at %d, log says %s of line %q at %d",
			row.Model, row.Line, row.Sequence, f.assigned.Model, f.assigned.Line, f.assigned.Sequence), nil
	}
	return "", nil
}

func (f *folding) compareRoles(ctx context.Context, q sqldb.Querier) (string, error) {
	count := 0
	for after := ""; ; {
		rows, err := ListRoles(ctx, q, f.log, after, foldPage)
		if err != nil {
			return "", err
		}
		for _, row := range rows {
			if folded, found := f.roles[row.ID]; !found || folded.Name != row.Name || folded.Description != row.Description {
				return fmt.Sprintf("role row %s is not in the log", row.ID), nil
			}
		}
		if count += len(rows); len(rows) < foldPage {
			break
		}
		after = rows[len(rows)-1].ID
	}
	if count != len(f.roles) {
		return fmt.Sprintf("%d role rows, log says %d", count, len(f.roles)), nil
	}
	return "", nil
}

// foldPage is how many rows are compared at a time.
const foldPage = 1000

func (f *folding) compareModels(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := q.Query(ctx,
		`SELECT model_id, name, state, canary_organizations, canary_basis_points FROM authz.models`)
	if err != nil {
		return "", fmt.Errorf("read models: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Model, error) {
		var m Model
		err := row.Scan(&m.ID, &m.Name, &m.State, &m.Audience.Organizations, &m.Audience.BasisPoints)
		return m, err
	})
	if err != nil {
		return "", fmt.Errorf("read models: %w", err)
	}
	for _, row := range found {
		folded, known := f.models[row.ID]
		switch {
		case !known:
			return fmt.Sprintf("model row %s is not in the log", row.ID), nil
		case row.Name != folded.Name || row.State != folded.State || !row.Audience.Equal(folded.Audience):
			return fmt.Sprintf("model row %s is %s, log says %s", row.ID, model.Word(row.State), model.Word(folded.State)), nil
		}
	}
	if len(found) != len(f.models) {
		return fmt.Sprintf("%d model rows, log says %d", len(found), len(f.models)), nil
	}
	return "", nil
}

-- +goose NO TRANSACTION
-- +goose Up

-- Where a model is in its life, as a number of meridian.authz.event.v1.ModelState,
-- and for whom when that is 2, canary.
ALTER TABLE authz.models ADD COLUMN IF NOT EXISTS state SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE authz.models ADD COLUMN IF NOT EXISTS canary_organizations TEXT[] NOT NULL DEFAULT '{}';
ALTER TABLE authz.models ADD COLUMN IF NOT EXISTS canary_basis_points INT4 NOT NULL DEFAULT 0;

-- The models of one name are a line: one of them in canary, one active.
CREATE UNIQUE INDEX IF NOT EXISTS models_canary ON authz.models (name) WHERE state = 2;
CREATE UNIQUE INDEX IF NOT EXISTS models_active ON authz.models (name) WHERE state = 3;

-- The line that an organization follows; empty: it stays with its model.
ALTER TABLE authz.assignments ADD COLUMN IF NOT EXISTS line TEXT NOT NULL DEFAULT '';

-- Who follows a line, in pages, and who uses a model.
CREATE INDEX IF NOT EXISTS assignments_line ON authz.assignments (line, organization_id);
CREATE INDEX IF NOT EXISTS assignments_model ON authz.assignments (model_id, line);

-- How far the moving of the organizations that follow a line has come. This is
-- work, not state: no event is behind it, and doing it again changes nothing.
CREATE TABLE IF NOT EXISTS authz.rollouts (
  line     TEXT    NOT NULL PRIMARY KEY,
  -- Revision of the platform's log that asked for it.
  revision BIGINT  NOT NULL,
  -- The last organization that was looked at, and how many were moved and left.
  position TEXT    NOT NULL,
  moved    BIGINT  NOT NULL,
  left_out BIGINT  NOT NULL,
  -- Somebody could not be moved for a while: everybody is looked at again.
  again    BOOLEAN NOT NULL,
  finished BOOLEAN NOT NULL
);

-- What there is to do: empty but for the minutes after a change.
CREATE INDEX IF NOT EXISTS rollouts_unfinished ON authz.rollouts (line) WHERE NOT finished;

-- Roles. Their permissions and assignments are rows of authz.relationships.
CREATE TABLE IF NOT EXISTS authz.roles (
  organization_id TEXT        NOT NULL,
  role            TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  name            TEXT        NOT NULL,
  description     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL,
  updated_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (organization_id, role)
);

-- A role's permissions: the relationships that it is the subject of.
CREATE INDEX IF NOT EXISTS relationships_of_roles ON authz.relationships (organization_id, subject, resource, relation)
  WHERE subject LIKE 'role:%#assignee';

-- +goose Down
DROP INDEX IF EXISTS authz.relationships_of_roles;
DROP TABLE IF EXISTS authz.roles;
DROP TABLE IF EXISTS authz.rollouts;
DROP INDEX IF EXISTS authz.assignments_model;
DROP INDEX IF EXISTS authz.assignments_line;
ALTER TABLE authz.assignments DROP COLUMN IF EXISTS line;
DROP INDEX IF EXISTS authz.models_active;
DROP INDEX IF EXISTS authz.models_canary;
ALTER TABLE authz.models DROP COLUMN IF EXISTS canary_basis_points;
ALTER TABLE authz.models DROP COLUMN IF EXISTS canary_organizations;
ALTER TABLE authz.models DROP COLUMN IF EXISTS state;

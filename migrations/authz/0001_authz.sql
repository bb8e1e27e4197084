-- +goose NO TRANSACTION
-- +goose Up
CREATE SCHEMA IF NOT EXISTS authz;

-- Immutable. files holds the bytes of the ModelPublished event.
CREATE TABLE IF NOT EXISTS authz.models (
  model_id   TEXT        NOT NULL PRIMARY KEY,
  name       TEXT        NOT NULL,
  files      BYTEA       NOT NULL,
  created_at TIMESTAMPTZ NOT NULL
);

-- ListModels, newest first.
CREATE INDEX IF NOT EXISTS models_created_at ON authz.models (created_at, model_id);

CREATE TABLE IF NOT EXISTS authz.assignments (
  organization_id TEXT   NOT NULL PRIMARY KEY,
  home_region     TEXT   NOT NULL,
  model_id        TEXT   NOT NULL,
  -- Sequence of the event that assigned it.
  sequence        BIGINT NOT NULL
);

-- The relationships that exist. Writes and preconditions look them up by
-- (organization, resource, relation).
CREATE TABLE IF NOT EXISTS authz.relationships (
  organization_id TEXT NOT NULL,
  resource        TEXT NOT NULL,
  relation        TEXT NOT NULL,
  subject         TEXT NOT NULL,
  home_region     TEXT NOT NULL,
  PRIMARY KEY (organization_id, resource, relation, subject)
);

-- +goose Down
DROP SCHEMA authz CASCADE;

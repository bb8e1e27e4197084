-- +goose NO TRANSACTION
-- +goose Up
-- When all that was given until then was ended: for an organization, or by a client. A
-- refresh looks here, so that ending much is one row.
CREATE TABLE IF NOT EXISTS sessions.cutoffs (
  -- The id of the organization or the client.
  subject     TEXT        NOT NULL PRIMARY KEY,
  cut_at      TIMESTAMPTZ NOT NULL,
  home_region TEXT        NOT NULL
);

-- +goose Down
DROP TABLE IF EXISTS sessions.cutoffs;

-- +goose NO TRANSACTION
-- +goose Up
-- Which clients that nobody registered are refused.
CREATE TABLE IF NOT EXISTS sessions.client_blocks (
  -- For whom; empty: for everybody.
  organization_id TEXT        NOT NULL,
  -- The URL of its document.
  client_id       TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  blocked_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (organization_id, client_id)
);

-- +goose Down
DROP TABLE IF EXISTS sessions.client_blocks;

-- +goose NO TRANSACTION
-- +goose Up
-- How the login pages look to an organization's people.
CREATE TABLE IF NOT EXISTS sessions.themes (
  organization_id TEXT NOT NULL PRIMARY KEY,
  name            TEXT NOT NULL,
  -- Six hexadecimal digits, or ''.
  color           TEXT NOT NULL,
  home_region     TEXT NOT NULL
);

-- +goose Down
DROP TABLE IF EXISTS sessions.themes;

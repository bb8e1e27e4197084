-- +goose NO TRANSACTION
-- +goose Up
CREATE SCHEMA IF NOT EXISTS sessions;

-- OAuth clients. settings are those of meridian.sessions.event.v1.ClientSettings, as
-- JSON, and say nothing that is secret.
CREATE TABLE IF NOT EXISTS sessions.clients (
  client_id       TEXT        NOT NULL PRIMARY KEY,
  -- Whose it is; empty: the platform's.
  organization_id TEXT        NOT NULL,
  settings        JSONB       NOT NULL,
  disabled        BOOL        NOT NULL,
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL
);

-- ListClients.
CREATE INDEX IF NOT EXISTS clients_organization ON sessions.clients (organization_id, client_id);

-- What clients authenticate with, two at most that are live.
CREATE TABLE IF NOT EXISTS sessions.client_secrets (
  client_id   TEXT        NOT NULL,
  secret_id   TEXT        NOT NULL,
  -- SHA-256 of a secret of 256 random bits, which nobody can guess.
  hash        BYTEA       NOT NULL,
  home_region TEXT        NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL,
  -- NULL: it does not end by itself.
  expires_at  TIMESTAMPTZ,
  PRIMARY KEY (client_id, secret_id)
);

-- Key pairs that tokens are signed with, few. A region opens the private keys that its
-- own key management wraps; the public ones are read everywhere.
CREATE TABLE IF NOT EXISTS sessions.signing_keys (
  kid         TEXT        NOT NULL PRIMARY KEY,
  region      TEXT        NOT NULL,
  algorithm   TEXT        NOT NULL,
  -- 1 initial, 2 active, 3 inactive, 4 deleted: SigningKeyState.
  state       SMALLINT    NOT NULL,
  public_jwk  TEXT        NOT NULL,
  -- PKCS #8, wrapped; NULL once it signs no more.
  private     BYTEA,
  created_at  TIMESTAMPTZ NOT NULL,
  active_at   TIMESTAMPTZ NOT NULL,
  inactive_at TIMESTAMPTZ,
  delete_at   TIMESTAMPTZ,
  emergency   BOOL        NOT NULL
);

-- +goose Down
DROP TABLE IF EXISTS sessions.signing_keys;
DROP TABLE IF EXISTS sessions.client_secrets;
DROP TABLE IF EXISTS sessions.clients;

-- +goose NO TRANSACTION
-- +goose Up
CREATE SCHEMA IF NOT EXISTS identity;

CREATE TABLE IF NOT EXISTS identity.organizations (
  organization_id TEXT        NOT NULL PRIMARY KEY,
  slug            TEXT        NOT NULL,
  name            TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL
);

-- Uniqueness of the slug, and the order of ListOrganizations.
CREATE UNIQUE INDEX IF NOT EXISTS organizations_slug ON identity.organizations (slug);

-- Vault. hash is the SHA-256 of the token's random part: 256 bits of
-- randomness need no slow hash.
CREATE TABLE IF NOT EXISTS identity.api_tokens (
  token_id        TEXT        NOT NULL PRIMARY KEY,
  hash            BYTEA       NOT NULL,
  name            TEXT        NOT NULL,
  -- Empty: the whole platform.
  organization_id TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  level           INT         NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL,
  expires_at      TIMESTAMPTZ NOT NULL,
  revoked_at      TIMESTAMPTZ
);

-- ListApiTokens: ids sort by time.
CREATE INDEX IF NOT EXISTS api_tokens_organization ON identity.api_tokens (organization_id, token_id);

-- +goose Down
DROP SCHEMA identity CASCADE;

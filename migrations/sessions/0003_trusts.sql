-- +goose NO TRANSACTION
-- +goose Up

-- Whom organizations trust about workloads. settings are those of
-- meridian.sessions.event.v1.TrustSettings, as JSON, and say nothing that is secret.
CREATE TABLE IF NOT EXISTS sessions.trusts (
  trust_id        TEXT        NOT NULL PRIMARY KEY,
  organization_id TEXT        NOT NULL,
  settings        JSONB       NOT NULL,
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL
);

-- ListTrusts.
CREATE INDEX IF NOT EXISTS trusts_organization ON sessions.trusts (organization_id, trust_id);

-- +goose Down
DROP TABLE IF EXISTS sessions.trusts;

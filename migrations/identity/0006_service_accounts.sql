-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS identity.service_accounts (
  organization_id    TEXT        NOT NULL,
  service_account_id TEXT        NOT NULL,
  name               TEXT        NOT NULL,
  -- The name case-folded in NFKC: UTF-8, compared byte by byte.
  name_key           BYTEA       NOT NULL,
  description        TEXT        NOT NULL,
  disabled           BOOL        NOT NULL,
  home_region        TEXT        NOT NULL,
  created_at         TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (organization_id, service_account_id)
);

-- Uniqueness of the name, and the order of ListServiceAccounts.
CREATE UNIQUE INDEX IF NOT EXISTS service_accounts_name ON identity.service_accounts (organization_id, name_key);

-- +goose Down
DROP TABLE identity.service_accounts;

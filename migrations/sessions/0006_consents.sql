-- +goose NO TRANSACTION
-- +goose Up
-- What users agreed to is for an organization, and for the APIs that were named then.
CREATE TABLE IF NOT EXISTS sessions.consents_of (
  user_id         TEXT        NOT NULL,
  client_id       TEXT        NOT NULL,
  -- '': for no organization.
  organization_id TEXT        NOT NULL,
  -- Separated by spaces.
  scopes          TEXT        NOT NULL,
  resources       TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  given_at        TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (user_id, client_id, organization_id)
);
INSERT INTO sessions.consents_of (user_id, client_id, organization_id, scopes, resources, home_region, given_at)
SELECT user_id, client_id, '', scopes, '', home_region, given_at FROM sessions.consents
ON CONFLICT (user_id, client_id, organization_id) DO NOTHING;
DROP TABLE sessions.consents;
ALTER TABLE sessions.consents_of RENAME TO consents;

-- +goose Down
CREATE TABLE IF NOT EXISTS sessions.consents_by_client (
  user_id     TEXT        NOT NULL,
  client_id   TEXT        NOT NULL,
  -- Separated by spaces.
  scopes      TEXT        NOT NULL,
  home_region TEXT        NOT NULL,
  given_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (user_id, client_id)
);
INSERT INTO sessions.consents_by_client (user_id, client_id, scopes, home_region, given_at)
SELECT user_id, client_id, scopes, home_region, given_at FROM sessions.consents WHERE organization_id = ''
ON CONFLICT (user_id, client_id) DO NOTHING;
DROP TABLE sessions.consents;
ALTER TABLE sessions.consents_by_client RENAME TO consents;

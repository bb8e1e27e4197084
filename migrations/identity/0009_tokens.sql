-- +goose NO TRANSACTION
-- +goose Up

-- The service account that calls with the token, what it may call (none: all), and
-- the token whose place it takes; empty: none.
ALTER TABLE identity.api_tokens ADD COLUMN IF NOT EXISTS service_account TEXT NOT NULL DEFAULT '';
ALTER TABLE identity.api_tokens ADD COLUMN IF NOT EXISTS scopes TEXT[] NOT NULL DEFAULT '{}';
ALTER TABLE identity.api_tokens ADD COLUMN IF NOT EXISTS replaces TEXT NOT NULL DEFAULT '';

-- Activity, not state: no event is behind it. Written at most every five minutes.
ALTER TABLE identity.api_tokens ADD COLUMN IF NOT EXISTS last_used_at TIMESTAMPTZ;

-- RotateApiToken asks what took a token's place.
CREATE INDEX IF NOT EXISTS api_tokens_replaces ON identity.api_tokens (organization_id, replaces) WHERE replaces <> '';

-- DeleteServiceAccount revokes what its account has.
CREATE INDEX IF NOT EXISTS api_tokens_account ON identity.api_tokens (organization_id, service_account)
  WHERE service_account <> '' AND revoked_at IS NULL;

-- +goose Down
DROP INDEX IF EXISTS identity.api_tokens_account;
DROP INDEX IF EXISTS identity.api_tokens_replaces;
ALTER TABLE identity.api_tokens DROP COLUMN IF EXISTS last_used_at;
ALTER TABLE identity.api_tokens DROP COLUMN IF EXISTS replaces;
ALTER TABLE identity.api_tokens DROP COLUMN IF EXISTS scopes;
ALTER TABLE identity.api_tokens DROP COLUMN IF EXISTS service_account;

-- +goose NO TRANSACTION
-- +goose Up

-- Users of its own; fixed when the organization is made.
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS isolated BOOLEAN NOT NULL DEFAULT false;

-- 1 active, 2 suspended, 3 to be deleted at delete_at, 4 deleted.
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS state SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS delete_at TIMESTAMPTZ;

-- Settings. password_min_length 0 is the standard length; no sign_in_methods are all.
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS password_min_length INT4 NOT NULL DEFAULT 0;
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS password_allow_breached BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS password_history INT4 NOT NULL DEFAULT 0;
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS require_second_factor BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE identity.organizations ADD COLUMN IF NOT EXISTS sign_in_methods TEXT[] NOT NULL DEFAULT '{}';

-- ListOrganizations, in the order of the slug's bytes whatever the collation of
-- the database, so that the beginning of a slug is a range. Of all but the deleted,
-- and of one state.
CREATE INDEX IF NOT EXISTS organizations_listed ON identity.organizations (decode(slug, 'escape')) WHERE state <> 4;
CREATE INDEX IF NOT EXISTS organizations_state ON identity.organizations (state, decode(slug, 'escape'));

-- The worker of a region finds what is to be deleted, the longest due first.
CREATE INDEX IF NOT EXISTS organizations_delete_at ON identity.organizations (home_region, delete_at) WHERE state = 3;

-- What is left to revoke of an organization that is deleted.
CREATE INDEX IF NOT EXISTS api_tokens_unrevoked ON identity.api_tokens (organization_id, token_id) WHERE revoked_at IS NULL;

-- +goose Down
DROP INDEX IF EXISTS identity.api_tokens_unrevoked;
DROP INDEX IF EXISTS identity.organizations_delete_at;
DROP INDEX IF EXISTS identity.organizations_state;
DROP INDEX IF EXISTS identity.organizations_listed;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS sign_in_methods;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS require_second_factor;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS password_history;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS password_allow_breached;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS password_min_length;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS delete_at;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS state;
ALTER TABLE identity.organizations DROP COLUMN IF EXISTS isolated;

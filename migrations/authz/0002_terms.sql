-- +goose NO TRANSACTION
-- +goose Up

-- Under what circumstances a relationship holds. condition is a name of the
-- model's, empty for none; context is JSON as the engine writes it, empty for
-- none; expires_at is Unix seconds, 0 for never.
ALTER TABLE authz.relationships ADD COLUMN IF NOT EXISTS condition TEXT NOT NULL DEFAULT '';
ALTER TABLE authz.relationships ADD COLUMN IF NOT EXISTS context TEXT NOT NULL DEFAULT '';
ALTER TABLE authz.relationships ADD COLUMN IF NOT EXISTS expires_at BIGINT NOT NULL DEFAULT 0;

-- The sweeper of a region finds what has expired, the oldest first.
CREATE INDEX IF NOT EXISTS relationships_expires_at ON authz.relationships (home_region, expires_at) WHERE expires_at > 0;

-- +goose Down
DROP INDEX authz.relationships_expires_at;
ALTER TABLE authz.relationships DROP COLUMN condition;
ALTER TABLE authz.relationships DROP COLUMN context;
ALTER TABLE authz.relationships DROP COLUMN expires_at;

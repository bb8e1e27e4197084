-- +goose NO TRANSACTION
-- +goose Up
-- When a client that is deleted unless it is used was used last, to the day; NULL for
-- one that stays.
ALTER TABLE sessions.clients ADD COLUMN IF NOT EXISTS used_at TIMESTAMPTZ;
-- The sweep.
CREATE INDEX IF NOT EXISTS clients_used ON sessions.clients (home_region, used_at);

-- +goose Down
DROP INDEX IF EXISTS sessions.clients_used;
ALTER TABLE sessions.clients DROP COLUMN IF EXISTS used_at;

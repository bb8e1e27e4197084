-- +goose NO TRANSACTION
-- +goose Up
-- Until when a relay of the region itself waits for its lease: meanwhile the
-- relay of another region, which took it over, cannot extend it.
ALTER TABLE log.relay_leases ADD COLUMN IF NOT EXISTS home_waits_until TIMESTAMPTZ;

-- +goose Down
ALTER TABLE log.relay_leases DROP COLUMN home_waits_until;

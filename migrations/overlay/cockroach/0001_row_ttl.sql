-- +goose NO TRANSACTION
-- +goose Up
-- CockroachDB removes outcomes by itself once they have expired. Readers still
-- compare expires_at: a row may outlive it by the period of the job. Changefeeds
-- need not hear of these deletions. PostgreSQL never sees this file.
ALTER TABLE log.idempotency SET (
  ttl_expiration_expression = 'expires_at',
  ttl_job_cron = '@hourly',
  ttl_disable_changefeed_replication = true
);

-- +goose Down
ALTER TABLE log.idempotency RESET (ttl);

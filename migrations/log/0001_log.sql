-- +goose NO TRANSACTION
-- +goose Up
CREATE SCHEMA IF NOT EXISTS log;

-- One row for each log. Its row lock orders the appends of that log and of no
-- other.
CREATE TABLE IF NOT EXISTS log.logs (
  log_id      TEXT        NOT NULL PRIMARY KEY,
  home_region TEXT        NOT NULL,
  -- Sequence, hash and time of the last event.
  head        BIGINT      NOT NULL,
  head_hash   BYTEA       NOT NULL,
  head_time   TIMESTAMPTZ NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL
);

-- Append-only. envelope holds the bytes of meridian.log.v1.Envelope, hash is
-- their SHA-256. Reads of a log from a sequence use the primary key.
CREATE TABLE IF NOT EXISTS log.events (
  log_id      TEXT        NOT NULL,
  sequence    BIGINT      NOT NULL,
  home_region TEXT        NOT NULL,
  envelope    BYTEA       NOT NULL,
  hash        BYTEA       NOT NULL,
  recorded_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (log_id, sequence)
);

-- One row for each append that the relay has not published yet. recorded_at
-- increases strictly inside a log, so the primary key gives a region's backlog
-- oldest first with every log in order.
CREATE TABLE IF NOT EXISTS log.outbox (
  home_region    TEXT        NOT NULL,
  recorded_at    TIMESTAMPTZ NOT NULL,
  log_id         TEXT        NOT NULL,
  first_sequence BIGINT      NOT NULL,
  last_sequence  BIGINT      NOT NULL,
  PRIMARY KEY (home_region, recorded_at, log_id, first_sequence)
);

-- The outcome of a mutation, kept for 24 h. scope is the principal's reach:
-- two callers never share a key.
CREATE TABLE IF NOT EXISTS log.idempotency (
  scope           TEXT        NOT NULL,
  idempotency_key TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  -- Keyed hash of procedure and request: the same key with another request fails.
  request_hash    BYTEA       NOT NULL,
  outcome         BYTEA       NOT NULL,
  expires_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (scope, idempotency_key)
);

CREATE INDEX IF NOT EXISTS idempotency_expires_at ON log.idempotency (expires_at);

-- Who relays a region's outbox. Two at once do no harm.
CREATE TABLE IF NOT EXISTS log.relay_leases (
  home_region TEXT        NOT NULL PRIMARY KEY,
  holder      TEXT        NOT NULL,
  epoch       BIGINT      NOT NULL,
  expires_at  TIMESTAMPTZ NOT NULL
);

-- Vault. The key of a user's personal data, wrapped by a regional key.
-- Destroying it (wrapped = NULL) erases the data in every copy of the log.
CREATE TABLE IF NOT EXISTS log.user_keys (
  user_id      TEXT        NOT NULL PRIMARY KEY,
  home_region  TEXT        NOT NULL,
  wrapped      BYTEA,
  created_at   TIMESTAMPTZ NOT NULL,
  destroyed_at TIMESTAMPTZ
);

-- +goose Down
DROP SCHEMA log CASCADE;

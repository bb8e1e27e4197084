-- +goose NO TRANSACTION
-- +goose Up
-- How far a projection that keeps rows has applied a log. Written in the
-- transaction that writes the rows.
CREATE TABLE IF NOT EXISTS log.checkpoints (
  projection TEXT   NOT NULL,
  log_id     TEXT   NOT NULL,
  sequence   BIGINT NOT NULL,
  PRIMARY KEY (projection, log_id)
);

-- How far a projection has read a stream, so that a restart does not read it
-- from the start. It may be behind the checkpoints, never ahead.
CREATE TABLE IF NOT EXISTS log.stream_positions (
  projection TEXT   NOT NULL,
  stream     TEXT   NOT NULL,
  position   BIGINT NOT NULL,
  PRIMARY KEY (projection, stream)
);

-- Projections that stopped at an event that they cannot apply.
CREATE TABLE IF NOT EXISTS log.halts (
  projection TEXT        NOT NULL,
  log_id     TEXT        NOT NULL,
  sequence   BIGINT      NOT NULL,
  reason     TEXT        NOT NULL,
  halted_at  TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (projection, log_id)
);

-- +goose Down
DROP TABLE log.halts;
DROP TABLE log.stream_positions;
DROP TABLE log.checkpoints;

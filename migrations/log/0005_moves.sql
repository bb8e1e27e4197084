-- +goose NO TRANSACTION
-- +goose Up
-- One row for each time that a log moved to another home region, written with
-- the event that moved it. What a region's relay published is in its stream, so
-- a stream that is filled again needs the events of logs that left, too.
CREATE TABLE IF NOT EXISTS log.moves (
  log_id      TEXT        NOT NULL,
  -- Of the event that moved it: the last that went to the outbox of home_region.
  sequence    BIGINT      NOT NULL,
  -- Where it was at home before, and from then on.
  home_region TEXT        NOT NULL,
  to_region   TEXT        NOT NULL,
  moved_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (log_id, sequence)
);

-- +goose Down
DROP TABLE log.moves;

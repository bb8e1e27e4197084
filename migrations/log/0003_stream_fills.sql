-- +goose NO TRANSACTION
-- +goose Up
-- Which stream holds everything that a region's relay published. A relay that
-- finds another stream in its place, or a shorter one, fills it from log.events
-- before it writes a row here.
CREATE TABLE IF NOT EXISTS log.stream_fills (
  home_region TEXT        NOT NULL,
  stream      TEXT        NOT NULL,
  -- When the stream was created, in Unix nanoseconds, as NATS says: its identity.
  created     BIGINT      NOT NULL,
  -- Where the stream ended at least, when the relay looked last.
  sequence    BIGINT      NOT NULL,
  filled_at   TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (home_region, stream)
);

-- +goose Down
DROP TABLE log.stream_fills;

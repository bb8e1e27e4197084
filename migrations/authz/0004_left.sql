-- +goose NO TRANSACTION
-- +goose Up

-- Organizations that a roll-out left with the model that they had, and why: at
-- most 1,000 of a line, those of its last roll-out that left any. Like rollouts
-- this is work and not state. A row whose organization has moved on since, or
-- whose revision is not that of the line's row in rollouts, counts for nothing.
CREATE TABLE IF NOT EXISTS authz.rollouts_left (
  line            TEXT   NOT NULL,
  organization_id TEXT   NOT NULL,
  revision        BIGINT NOT NULL,
  model_now       TEXT   NOT NULL,
  model_wanted    TEXT   NOT NULL,
  -- Name of a meridian.common.v1.Reason, and a text for people.
  reason          TEXT   NOT NULL,
  why             TEXT   NOT NULL,
  PRIMARY KEY (line, organization_id)
);

-- +goose Down
DROP TABLE IF EXISTS authz.rollouts_left;

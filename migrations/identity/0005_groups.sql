-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS identity.groups (
  organization_id TEXT        NOT NULL,
  group_id        TEXT        NOT NULL,
  name            TEXT        NOT NULL,
  -- The name case-folded in NFKC: UTF-8, compared byte by byte.
  name_key        BYTEA       NOT NULL,
  description     TEXT        NOT NULL,
  -- How many members the group itself has.
  members         INT         NOT NULL,
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (organization_id, group_id)
);

-- Uniqueness of the name, and the order and the search of ListGroups.
CREATE UNIQUE INDEX IF NOT EXISTS groups_name ON identity.groups (organization_id, name_key);

-- The primary key is the order of ListGroupMembers.
CREATE TABLE IF NOT EXISTS identity.group_members (
  organization_id TEXT NOT NULL,
  group_id        TEXT NOT NULL,
  -- A user, a service account or a group of the organization.
  member_id       TEXT NOT NULL,
  home_region     TEXT NOT NULL,
  PRIMARY KEY (organization_id, group_id, member_id)
);

-- The groups that a member is in: when it leaves, and when groups are nested.
CREATE INDEX IF NOT EXISTS group_members_member ON identity.group_members (organization_id, member_id, group_id);

-- The groups in a group: when groups are nested.
CREATE INDEX IF NOT EXISTS group_members_nested ON identity.group_members (organization_id, group_id, member_id)
  WHERE substr(member_id, 1, 4) = 'grp_';

-- How many things of a kind an organization has, where that has a limit: counting
-- them would read, and on PostgreSQL lock, all of their index.
CREATE TABLE IF NOT EXISTS identity.counts (
  organization_id TEXT   NOT NULL,
  kind            TEXT   NOT NULL,
  number          BIGINT NOT NULL,
  home_region     TEXT   NOT NULL,
  PRIMARY KEY (organization_id, kind)
);

-- +goose Down
DROP TABLE identity.counts;
DROP TABLE identity.group_members;
DROP TABLE identity.groups;

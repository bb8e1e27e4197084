-- +goose NO TRANSACTION
-- +goose Up

-- Who is in an organization. The events are in the organization's log. ListMembers
-- reads by the primary key.
CREATE TABLE IF NOT EXISTS identity.memberships (
  organization_id TEXT        NOT NULL,
  user_id         TEXT        NOT NULL,
  -- As meridian.identity.v1 numbers them.
  role            SMALLINT    NOT NULL,
  state           SMALLINT    NOT NULL,
  -- Suspended because the user is, everywhere.
  everywhere      BOOLEAN     NOT NULL,
  source          SMALLINT    NOT NULL,
  source_ref      TEXT        NOT NULL,
  -- The organization's.
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (organization_id, user_id)
);

-- ListUserMemberships, and all that suspends or erases a user.
CREATE INDEX IF NOT EXISTS memberships_user ON identity.memberships (user_id, organization_id);

-- Whether an organization has another active administrator.
CREATE INDEX IF NOT EXISTS memberships_admins ON identity.memberships (organization_id, user_id) WHERE role = 2 AND state = 1;

-- +goose Down
DROP TABLE IF EXISTS identity.memberships;

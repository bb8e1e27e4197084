-- +goose NO TRANSACTION
-- +goose Up

-- Invitations, whose events are in the organization's log.
CREATE TABLE IF NOT EXISTS identity.invitations (
  invitation_id   TEXT        NOT NULL PRIMARY KEY,
  organization_id TEXT        NOT NULL,
  -- 1 pending, 2 accepted, 3 revoked. Expired is what pending ones are by the clock.
  state           SMALLINT    NOT NULL,
  -- The id under whose key the events hold the address.
  invitee         TEXT        NOT NULL,
  -- Personal data, and its keyed hash (see package blind); NULL once the invitation
  -- is not pending.
  email           TEXT,
  blind           BYTEA,
  -- Vault. SHA-256 of the 256 random bits of the letter's secret; NULL as above.
  secret_hash     BYTEA,
  role            SMALLINT    NOT NULL,
  -- Ids of groups, with spaces between them.
  group_ids       TEXT        NOT NULL,
  locale          TEXT        NOT NULL,
  letters         SMALLINT    NOT NULL,
  last_letter     TIMESTAMPTZ NOT NULL,
  -- Who accepted, or empty.
  user_id         TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL,
  expires_at      TIMESTAMPTZ NOT NULL
);

-- An address has one pending invitation in an organization.
CREATE UNIQUE INDEX IF NOT EXISTS invitations_address ON identity.invitations (organization_id, blind) WHERE state = 1;

-- What an erasure ends, and what has long expired in a home region.
CREATE INDEX IF NOT EXISTS invitations_blind ON identity.invitations (blind) WHERE state = 1;
CREATE INDEX IF NOT EXISTS invitations_expired ON identity.invitations (home_region, expires_at) WHERE state = 1;

-- ListInvitations: ids sort by time.
CREATE INDEX IF NOT EXISTS invitations_organization ON identity.invitations (organization_id, invitation_id);

-- ListInvitations of one state.
CREATE INDEX IF NOT EXISTS invitations_state ON identity.invitations (organization_id, state, invitation_id);

-- +goose Down
DROP TABLE IF EXISTS identity.invitations;

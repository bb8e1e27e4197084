-- +goose NO TRANSACTION
-- +goose Up

-- Email domains of organizations. Several may have one name: each proves it by a
-- challenge of its own.
CREATE TABLE IF NOT EXISTS identity.domains (
  organization_id TEXT        NOT NULL,
  domain_id       TEXT        NOT NULL,
  home_region     TEXT        NOT NULL,
  -- A-labels, lower case.
  name            TEXT        NOT NULL,
  -- What the TXT record must hold. No secret.
  challenge       TEXT        NOT NULL,
  -- 1 pending, 2 verified, 3 lapsed.
  state           SMALLINT    NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL,
  -- Work, not state: no event is behind these. When the record was last looked for
  -- with an answer, when it is to be looked for next, and how often in a row it was
  -- not there.
  checked_at      TIMESTAMPTZ,
  check_at        TIMESTAMPTZ NOT NULL,
  misses          INT4        NOT NULL,
  PRIMARY KEY (organization_id, domain_id)
);

-- An organization has a domain once; the order of ListDomains.
CREATE UNIQUE INDEX IF NOT EXISTS domains_name ON identity.domains (organization_id, name);

-- LookUpDomain.
CREATE INDEX IF NOT EXISTS domains_verified ON identity.domains (name, organization_id) WHERE state = 2;

-- The worker of a region finds what is to be looked for, the longest due first.
CREATE INDEX IF NOT EXISTS domains_check_at ON identity.domains (home_region, check_at) WHERE state = 2;

-- +goose Down
DROP TABLE IF EXISTS identity.domains;

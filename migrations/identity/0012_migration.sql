-- +goose NO TRANSACTION
-- +goose Up

-- Where users are imported from: few, read in every region when somebody signs in.
-- The events are in the platform's log. Secrets are derived (see package legacy):
-- here is only how many there were.
CREATE TABLE IF NOT EXISTS identity.sources (
  name        TEXT        NOT NULL PRIMARY KEY,
  -- Empty: none.
  checker_url TEXT        NOT NULL,
  disabled    BOOLEAN     NOT NULL,
  secrets     INT4        NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL
);

-- Who users are at the sources. The events are in the users' logs. external is a
-- keyed hash of the id at the source, which stays when the user is erased, so that
-- nobody is imported again after that. home_region is the user's.
CREATE TABLE IF NOT EXISTS identity.links (
  source      TEXT        NOT NULL,
  external    BYTEA       NOT NULL,
  -- Empty: the user is erased.
  external_id TEXT        NOT NULL,
  user_id     TEXT        NOT NULL,
  -- Which of the user's links it is, from 1.
  nth         SMALLINT    NOT NULL,
  -- From when on the source is not asked for the password; NULL: it is.
  migrated_at TIMESTAMPTZ,
  home_region TEXT        NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (source, external)
);

-- A user's links, at sign-in, erasure and when another is made.
CREATE UNIQUE INDEX IF NOT EXISTS links_user ON identity.links (user_id, nth);

-- How many users of a source are not migrated yet.
CREATE INDEX IF NOT EXISTS links_waiting ON identity.links (source) WHERE migrated_at IS NULL;

-- +goose Down
DROP TABLE IF EXISTS identity.links;
DROP TABLE IF EXISTS identity.sources;

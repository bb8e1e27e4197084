-- +goose NO TRANSACTION
-- +goose Up

-- A user for each log of a user. Nothing here tells who it is.
CREATE TABLE IF NOT EXISTS identity.users (
  user_id        TEXT        NOT NULL PRIMARY KEY,
  -- The organization that the user is kept apart for, or empty.
  realm          TEXT        NOT NULL,
  -- 1 active, 2 suspended, 3 erased.
  state          SMALLINT    NOT NULL,
  email_verified BOOLEAN     NOT NULL,
  source         TEXT        NOT NULL,
  home_region    TEXT        NOT NULL,
  created_at     TIMESTAMPTZ NOT NULL,
  -- How many organizations the user is in: counting them would lock the pages of
  -- an index, and with them the users who are added next to this one.
  memberships    INT4        NOT NULL DEFAULT 0
);

-- ListUsers: of one state, and all but the erased.
CREATE INDEX IF NOT EXISTS users_state ON identity.users (state, user_id);
CREATE INDEX IF NOT EXISTS users_listed ON identity.users (user_id) WHERE state <> 3;

-- The personal data of users, as the sealed events have it. Dropped at erasure.
CREATE TABLE IF NOT EXISTS identity.profiles (
  user_id     TEXT NOT NULL PRIMARY KEY,
  -- As it was given; empty: none.
  email       TEXT NOT NULL,
  name        TEXT NOT NULL,
  locale      TEXT NOT NULL,
  home_region TEXT NOT NULL
);

-- Who has an address. blind is a keyed hash of realm and canonical address (see
-- package blind), and the primary key what makes an address one user's. Dropped
-- at erasure.
CREATE TABLE IF NOT EXISTS identity.user_emails (
  realm       TEXT  NOT NULL,
  blind       BYTEA NOT NULL,
  user_id     TEXT  NOT NULL,
  home_region TEXT  NOT NULL,
  PRIMARY KEY (realm, blind)
);

-- What ChangeEmail and EraseUser remove.
CREATE INDEX IF NOT EXISTS user_emails_user ON identity.user_emails (user_id);

-- The words of names, folded (see package displayname), for searches by their
-- beginning: the primary key is in the order of the answers. Scope is an
-- organization, for its members, or empty: all users. home_region is the user's.
-- Dropped at erasure.
CREATE TABLE IF NOT EXISTS identity.search_words (
  scope       TEXT  NOT NULL,
  word        BYTEA NOT NULL,
  user_id     TEXT  NOT NULL,
  home_region TEXT  NOT NULL,
  PRIMARY KEY (scope, word, user_id)
);

-- The words of some users, to compare them with all that is searched for, and to
-- remove them.
CREATE INDEX IF NOT EXISTS search_words_user ON identity.search_words (user_id, scope, word);

-- +goose Down
DROP TABLE IF EXISTS identity.search_words;
DROP TABLE IF EXISTS identity.user_emails;
DROP TABLE IF EXISTS identity.profiles;
DROP TABLE IF EXISTS identity.users;

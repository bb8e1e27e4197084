-- +goose NO TRANSACTION
-- +goose Up

-- Authentications that are under way. Nothing here tells whose: state is sealed
-- under a key that only the browser has, which sends it with each step. Swept when
-- they have expired.
CREATE TABLE IF NOT EXISTS identity.authentications (
  authentication_id TEXT        NOT NULL PRIMARY KEY,
  -- SHA-256 of the secret, which has 256 bits that nobody can guess.
  secret_hash       BYTEA       NOT NULL,
  state             BYTEA       NOT NULL,
  -- The region that it was started in.
  home_region       TEXT        NOT NULL,
  expires_at        TIMESTAMPTZ NOT NULL
);

-- The sweep.
CREATE INDEX IF NOT EXISTS authentications_expires_at ON identity.authentications (expires_at);

-- Registrations of passkeys and TOTPs that are under way, each for one use. Swept
-- when they have expired.
CREATE TABLE IF NOT EXISTS identity.ceremonies (
  ceremony_id TEXT        NOT NULL PRIMARY KEY,
  user_id     TEXT        NOT NULL,
  -- As credentials have it.
  kind        SMALLINT    NOT NULL,
  -- Sealed under the user's key.
  state       BYTEA       NOT NULL,
  -- How often it may still be tried to finish it.
  attempts    INT4        NOT NULL,
  home_region TEXT        NOT NULL,
  expires_at  TIMESTAMPTZ NOT NULL
);

-- The sweep.
CREATE INDEX IF NOT EXISTS ceremonies_expires_at ON identity.ceremonies (expires_at);

-- Failures, by keyed hashes of what they are counted by. Swept when they are old.
CREATE TABLE IF NOT EXISTS identity.throttles (
  bucket        BYTEA       NOT NULL PRIMARY KEY,
  failures      INT4        NOT NULL,
  blocked_until TIMESTAMPTZ NOT NULL,
  updated_at    TIMESTAMPTZ NOT NULL,
  -- The region that counted first.
  home_region   TEXT        NOT NULL
);

-- The sweep.
CREATE INDEX IF NOT EXISTS throttles_updated_at ON identity.throttles (updated_at);

-- +goose Down
DROP TABLE IF EXISTS identity.throttles;
DROP TABLE IF EXISTS identity.ceremonies;
DROP TABLE IF EXISTS identity.authentications;

-- +goose NO TRANSACTION
-- +goose Up

-- Which clients were given something in a session, for as long as the session may live:
-- a grant without refresh tokens is swept after minutes.
CREATE TABLE IF NOT EXISTS sessions.parties (
  session_id  TEXT        NOT NULL,
  client_id   TEXT        NOT NULL,
  issuer      TEXT        NOT NULL,
  user_id     TEXT        NOT NULL,
  home_region TEXT        NOT NULL,
  expires_at  TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (session_id, client_id, issuer)
);

-- The end of a user.
CREATE INDEX IF NOT EXISTS parties_user ON sessions.parties (user_id);
-- The sweep.
CREATE INDEX IF NOT EXISTS parties_expiry ON sessions.parties (expires_at);

-- Clients that are to be told, or were, that a session has ended. A row is written in
-- the commit that ends the session.
CREATE TABLE IF NOT EXISTS sessions.logouts (
  logout_id   TEXT        NOT NULL PRIMARY KEY,
  user_id     TEXT        NOT NULL,
  session_id  TEXT        NOT NULL,
  client_id   TEXT        NOT NULL,
  issuer      TEXT        NOT NULL,
  -- 1 waiting, 2 delivered, 3 failed: logout.Status.
  state       SMALLINT    NOT NULL,
  -- Counted when one begins.
  attempts    BIGINT      NOT NULL,
  -- When it is tried, or, while it is, when another process may.
  next_at     TIMESTAMPTZ NOT NULL,
  -- The HTTP status of the last answer, or 0; why there was none, or ''.
  last_status BIGINT      NOT NULL,
  last_error  TEXT        NOT NULL,
  home_region TEXT        NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL,
  expires_at  TIMESTAMPTZ NOT NULL
);

-- What is due, and what waits longest.
CREATE INDEX IF NOT EXISTS logouts_due ON sessions.logouts (home_region, next_at) WHERE state = 1;
CREATE INDEX IF NOT EXISTS logouts_waiting ON sessions.logouts (home_region, created_at) WHERE state = 1;
-- ListLogouts.
CREATE INDEX IF NOT EXISTS logouts_user ON sessions.logouts (user_id, logout_id);
-- The sweep.
CREATE INDEX IF NOT EXISTS logouts_expiry ON sessions.logouts (expires_at);

-- +goose Down
DROP TABLE IF EXISTS sessions.logouts;
DROP TABLE IF EXISTS sessions.parties;

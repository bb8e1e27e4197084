-- +goose NO TRANSACTION
-- +goose Up
CREATE SCHEMA IF NOT EXISTS sessions;

-- OAuth clients. settings are those of meridian.sessions.event.v1.ClientSettings, as
-- JSON, and say nothing that is secret.
CREATE TABLE IF NOT EXISTS sessions.clients (
  client_id       TEXT        NOT NULL PRIMARY KEY,
  -- Whose it is; empty: the platform's.
  organization_id TEXT        NOT NULL,
  settings        JSONB       NOT NULL,
  disabled        BOOL        NOT NULL,
  home_region     TEXT        NOT NULL,
  created_at      TIMESTAMPTZ NOT NULL
);

-- ListClients.
CREATE INDEX IF NOT EXISTS clients_organization ON sessions.clients (organization_id, client_id);

-- What clients authenticate with, two at most that are live.
CREATE TABLE IF NOT EXISTS sessions.client_secrets (
  client_id   TEXT        NOT NULL,
  secret_id   TEXT        NOT NULL,
  -- SHA-256 of a secret of 256 random bits, which nobody can guess.
  hash        BYTEA       NOT NULL,
  home_region TEXT        NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL,
  -- NULL: it does not end by itself.
  expires_at  TIMESTAMPTZ,
  PRIMARY KEY (client_id, secret_id)
);

-- Key pairs that tokens are signed with, few. A region opens the private keys that its
-- own key management wraps; the public ones are read everywhere.
CREATE TABLE IF NOT EXISTS sessions.signing_keys (
  kid         TEXT        NOT NULL PRIMARY KEY,
  region      TEXT        NOT NULL,
  algorithm   TEXT        NOT NULL,
  -- 1 initial, 2 active, 3 inactive, 4 deleted: SigningKeyState.
  state       SMALLINT    NOT NULL,
  public_jwk  TEXT        NOT NULL,
  -- PKCS #8, wrapped; NULL once it signs no more.
  private     BYTEA,
  created_at  TIMESTAMPTZ NOT NULL,
  active_at   TIMESTAMPTZ NOT NULL,
  inactive_at TIMESTAMPTZ,
  delete_at   TIMESTAMPTZ,
  emergency   BOOL        NOT NULL
);

-- Who is signed in, in which browser. A session that has ended has no row.
CREATE TABLE IF NOT EXISTS sessions.sessions (
  session_id       TEXT        NOT NULL PRIMARY KEY,
  user_id          TEXT        NOT NULL,
  -- aal1 or aal2; RFC 8176, separated by spaces.
  acr              TEXT        NOT NULL,
  amr              TEXT        NOT NULL,
  authenticated_at TIMESTAMPTZ NOT NULL,
  started_at       TIMESTAMPTZ NOT NULL,
  -- To five minutes.
  last_seen_at     TIMESTAMPTZ NOT NULL,
  expires_at       TIMESTAMPTZ NOT NULL,
  -- SHA-256 of what the browser's cookie holds: 256 random bits.
  hash             BYTEA       NOT NULL,
  device           TEXT        NOT NULL,
  ip               TEXT        NOT NULL,
  home_region      TEXT        NOT NULL
);

-- ListSessions.
CREATE INDEX IF NOT EXISTS sessions_user ON sessions.sessions (user_id, session_id);
-- The sweep.
CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions.sessions (expires_at);

-- What clients were given. No code and no refresh token is stored: they are made of
-- the salt and the generation, under a key that is not in the database.
CREATE TABLE IF NOT EXISTS sessions.grants (
  grant_id         TEXT        NOT NULL PRIMARY KEY,
  user_id          TEXT        NOT NULL,
  session_id       TEXT        NOT NULL,
  client_id        TEXT        NOT NULL,
  -- Whom its tokens are for, or ''.
  organization_id  TEXT        NOT NULL,
  issuer           TEXT        NOT NULL,
  -- Separated by spaces.
  scopes           TEXT        NOT NULL,
  resources        TEXT        NOT NULL,
  -- 1 issued, 2 redeemed, 3 revoked: grant.Status.
  status           SMALLINT    NOT NULL,
  issued_at        TIMESTAMPTZ NOT NULL,
  expires_at       TIMESTAMPTZ NOT NULL,
  -- What the code is bound to, and what the ID token says.
  redirect_uri     TEXT        NOT NULL,
  challenge        TEXT        NOT NULL,
  nonce            TEXT        NOT NULL,
  acr              TEXT        NOT NULL,
  amr              TEXT        NOT NULL,
  authenticated_at TIMESTAMPTZ NOT NULL,
  -- The thumbprint of the key that its tokens are bound to, or ''.
  key_thumbprint   TEXT        NOT NULL,
  salt             BYTEA       NOT NULL,
  refreshable      BOOL        NOT NULL,
  -- It outlives the session.
  standalone       BOOL        NOT NULL,
  generation       BIGINT      NOT NULL,
  rotated_at       TIMESTAMPTZ NOT NULL,
  idle_seconds     BIGINT      NOT NULL,
  grace_seconds    BIGINT      NOT NULL,
  home_region      TEXT        NOT NULL
);

-- ListGrants, and the end of a session.
CREATE INDEX IF NOT EXISTS grants_user ON sessions.grants (user_id, grant_id);
-- The sweep.
CREATE INDEX IF NOT EXISTS grants_expiry ON sessions.grants (expires_at);

-- What users agreed to.
CREATE TABLE IF NOT EXISTS sessions.consents (
  user_id     TEXT        NOT NULL,
  client_id   TEXT        NOT NULL,
  -- Separated by spaces.
  scopes      TEXT        NOT NULL,
  home_region TEXT        NOT NULL,
  given_at    TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (user_id, client_id)
);

-- Requests that wait: pushed by clients, or for people on the pages. They are used
-- once and live for minutes.
CREATE TABLE IF NOT EXISTS sessions.requests (
  -- SHA-256 of the 256 random bits that name it.
  request_hash BYTEA       NOT NULL PRIMARY KEY,
  client_id    TEXT        NOT NULL,
  issuer       TEXT        NOT NULL,
  -- SHA-256 of the browser's cookie; NULL: pushed.
  browser_hash BYTEA,
  -- The parameters of a pushed one; of one on the pages how far it is: JSON.
  content      BYTEA       NOT NULL,
  home_region  TEXT        NOT NULL,
  expires_at   TIMESTAMPTZ NOT NULL
);

CREATE INDEX IF NOT EXISTS requests_expiry ON sessions.requests (expires_at);

-- Devices that wait until somebody signs in for them, elsewhere (RFC 8628).
CREATE TABLE IF NOT EXISTS sessions.devices (
  -- SHA-256 of the device code, and of the code that people type.
  device_hash      BYTEA       NOT NULL PRIMARY KEY,
  user_hash        BYTEA       NOT NULL,
  client_id        TEXT        NOT NULL,
  issuer           TEXT        NOT NULL,
  -- Separated by spaces.
  scopes           TEXT        NOT NULL,
  resources        TEXT        NOT NULL,
  -- 1 waiting, 2 allowed, 3 denied: device.Status.
  status           SMALLINT    NOT NULL,
  -- What was given, or ''.
  grant_id         TEXT        NOT NULL,
  -- Where it was asked for.
  ip               TEXT        NOT NULL,
  interval_seconds BIGINT      NOT NULL,
  polled_at        TIMESTAMPTZ NOT NULL,
  home_region      TEXT        NOT NULL,
  expires_at       TIMESTAMPTZ NOT NULL
);

CREATE UNIQUE INDEX IF NOT EXISTS devices_user ON sessions.devices (user_hash);
CREATE INDEX IF NOT EXISTS devices_expiry ON sessions.devices (expires_at);

-- What is good for one use and was used: SHA-256 of who it is of and its id.
CREATE TABLE IF NOT EXISTS sessions.used (
  used_hash   BYTEA       NOT NULL PRIMARY KEY,
  home_region TEXT        NOT NULL,
  expires_at  TIMESTAMPTZ NOT NULL
);

CREATE INDEX IF NOT EXISTS used_expiry ON sessions.used (expires_at);

-- +goose Down
DROP TABLE IF EXISTS sessions.used;
DROP TABLE IF EXISTS sessions.devices;
DROP TABLE IF EXISTS sessions.requests;
DROP TABLE IF EXISTS sessions.consents;
DROP TABLE IF EXISTS sessions.grants;
DROP TABLE IF EXISTS sessions.sessions;
DROP TABLE IF EXISTS sessions.signing_keys;
DROP TABLE IF EXISTS sessions.client_secrets;
DROP TABLE IF EXISTS sessions.clients;

-- +goose NO TRANSACTION
-- +goose Up

-- Vault. What users prove themselves with: a row for each credential, one at most
-- of the kinds 1 and 4. All reads are of one user's, by the primary key. Dropped at
-- erasure.
CREATE TABLE IF NOT EXISTS identity.credentials (
  user_id       TEXT        NOT NULL,
  credential_id TEXT        NOT NULL,
  -- 1 password, 2 passkey, 3 TOTP, 4 recovery codes.
  kind          SMALLINT    NOT NULL,
  name          TEXT        NOT NULL,
  -- The user's.
  home_region   TEXT        NOT NULL,
  created_at    TIMESTAMPTZ NOT NULL,
  last_used_at  TIMESTAMPTZ,
  -- Of a password: its hash, which names algorithm and cost; those of former ones,
  -- the newest first; and how often it was changed.
  hash          TEXT,
  former        TEXT[],
  version       INT8        NOT NULL DEFAULT 1,
  -- Of a TOTP: its seed, sealed under the user's key, and the last period that was
  -- let in.
  sealed        BYTEA,
  last_step     INT8        NOT NULL DEFAULT 0,
  -- Of recovery codes: SHA-256 of each that is left. They have 80 random bits, so
  -- they need no slow hash.
  codes         BYTEA[],
  PRIMARY KEY (user_id, credential_id)
);

-- One password and one set of recovery codes for each user.
CREATE UNIQUE INDEX IF NOT EXISTS credentials_single ON identity.credentials (user_id, kind) WHERE kind = 1 OR kind = 4;

-- What a relying party must remember of a passkey. The primary key finds it by what
-- the browser sends, and keeps it one user's. Dropped at erasure.
CREATE TABLE IF NOT EXISTS identity.passkeys (
  rp_id              TEXT    NOT NULL,
  raw_id             BYTEA   NOT NULL,
  credential_id      TEXT    NOT NULL,
  user_id            TEXT    NOT NULL,
  home_region        TEXT    NOT NULL,
  public_key         BYTEA   NOT NULL,
  algorithm          INT4    NOT NULL,
  aaguid             BYTEA   NOT NULL,
  sign_count         INT8    NOT NULL,
  transports         TEXT[]  NOT NULL,
  backup_eligible    BOOLEAN NOT NULL,
  backed_up          BOOLEAN NOT NULL,
  -- The user was verified at registration: it can be all that a sign-in needs.
  user_verified      BOOLEAN NOT NULL,
  discoverable       BOOLEAN NOT NULL,
  attestation_format TEXT    NOT NULL,
  trusted            BOOLEAN NOT NULL,
  -- Its counter went back: it is refused.
  flagged            BOOLEAN NOT NULL,
  PRIMARY KEY (rp_id, raw_id)
);

-- A user's passkeys.
CREATE UNIQUE INDEX IF NOT EXISTS passkeys_user ON identity.passkeys (user_id, credential_id);

-- +goose Down
DROP TABLE IF EXISTS identity.passkeys;
DROP TABLE IF EXISTS identity.credentials;

-- The platform's home is the primary region; `meridian migrate` places the tables.
CREATE DATABASE IF NOT EXISTS meridian
  PRIMARY REGION "us-east" REGIONS "eu-west", "ap-south" SURVIVE REGION FAILURE;

-- The services read and write rows. They own nothing and change no schema: root
-- migrates, and what root makes is opened to them.
CREATE USER IF NOT EXISTS meridian;
GRANT CONNECT ON DATABASE meridian TO meridian;
USE meridian;
ALTER DEFAULT PRIVILEGES FOR ALL ROLES GRANT USAGE ON SCHEMAS TO meridian;
ALTER DEFAULT PRIVILEGES FOR ALL ROLES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO meridian;

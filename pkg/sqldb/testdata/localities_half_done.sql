ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "asia-south1";
ALTER DATABASE "meridian" ADD REGION IF NOT EXISTS "us-east1";
ALTER DATABASE "meridian" SURVIVE REGION FAILURE;
ALTER TABLE identity.api_tokens ADD COLUMN IF NOT EXISTS crdb_region crdb_internal_region NOT NULL AS (CASE home_region WHEN 'asia-south1' THEN 'asia-south1' WHEN 'us-east1' THEN 'us-east1' ELSE 'europe-west1' END) STORED;
ALTER TABLE identity.api_tokens SET LOCALITY REGIONAL BY ROW AS crdb_region;
ALTER TABLE authz.assignments ADD COLUMN IF NOT EXISTS crdb_region crdb_internal_region NOT NULL AS (CASE home_region WHEN 'asia-south1' THEN 'asia-south1' WHEN 'us-east1' THEN 'us-east1' ELSE 'europe-west1' END) STORED;
ALTER TABLE authz.assignments SET LOCALITY REGIONAL BY ROW AS crdb_region;
ALTER TABLE authz.relationships ADD COLUMN IF NOT EXISTS crdb_region crdb_internal_region NOT NULL AS (CASE home_region WHEN 'asia-south1' THEN 'asia-south1' WHEN 'us-east1' THEN 'us-east1' ELSE 'europe-west1' END) STORED;
ALTER TABLE authz.relationships SET LOCALITY REGIONAL BY ROW AS crdb_region;

module github.com/meridian-iam/meridian/migrations

go 1.26.0

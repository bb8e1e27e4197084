module github.com/meridian-iam/meridian/e2e

go 1.26.0

require (
	github.com/meridian-iam/meridian/proto v0.0.0
	github.com/meridian-iam/meridian/migrations v0.0.0
	github.com/meridian-iam/meridian/pkg v0.0.0
	github.com/meridian-iam/meridian/services v0.0.0
	github.com/meridian-iam/meridian/pkg/sdk/go v0.0.0
)

replace (
	github.com/meridian-iam/meridian/proto => ../proto
	github.com/meridian-iam/meridian/migrations => ../migrations
	github.com/meridian-iam/meridian/pkg => ../pkg
	github.com/meridian-iam/meridian/services => ../services
	github.com/meridian-iam/meridian/pkg/sdk/go => ../pkg/sdk/go
)

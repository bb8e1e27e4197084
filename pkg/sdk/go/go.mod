module github.com/meridian-iam/meridian/pkg/sdk/go

go 1.26.0

require github.com/meridian-iam/meridian/proto v0.0.0

replace github.com/meridian-iam/meridian/proto => ../../../proto

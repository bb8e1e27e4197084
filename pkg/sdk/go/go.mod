module github.com/meridian-iam/meridian/pkg/sdk/go

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/meridian-iam/meridian/pkg v0.0.0
	github.com/meridian-iam/meridian/proto v0.0.0
	golang.org/x/sync v0.24.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261005182115-fad411399dd8
	google.golang.org/protobuf v1.36.12
)

require (
	buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go v1.36.12-20260825204119-511051f7f437.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
)

replace (
	github.com/meridian-iam/meridian/pkg => ../..
	github.com/meridian-iam/meridian/proto => ../../../proto
)

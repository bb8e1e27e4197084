module github.com/meridian-iam/meridian/e2e

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/google/go-cmp v0.7.0
	github.com/meridian-iam/meridian/pkg v0.0.0
	github.com/meridian-iam/meridian/pkg/sdk/go v0.0.0
	github.com/meridian-iam/meridian/proto v0.0.0
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
	golang.org/x/sync v0.24.0
)

require (
	buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go v1.36.12-20260825204119-511051f7f437.2 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261005182115-fad411399dd8 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/meridian-iam/meridian/migrations => ../migrations
	github.com/meridian-iam/meridian/pkg => ../pkg
	github.com/meridian-iam/meridian/pkg/sdk/go => ../pkg/sdk/go
	github.com/meridian-iam/meridian/proto => ../proto
	github.com/meridian-iam/meridian/services => ../services
)

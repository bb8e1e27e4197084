package serve_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// pourer sends so many messages of 1 MB and tells how that ended.
type pourer struct {
	authzv1connect.UnimplementedLookupServiceHandler
	messages int
	ended    chan error
}

func (p *pourer) StreamObjects(
	ctx context.Context, _ *authzv1.StreamObjectsRequest, s *connect.ServerStream[authzv1.StreamObjectsResponse],
) (err error) {
	defer func() { p.ended <- err }()
	serve.CutUnread(ctx, 2*time.Second)
	message := &authzv1.StreamObjectsResponse{Objects: []string{strings.Repeat("x", 1<<20)}}
	for range p.messages {
		if err := s.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// A client that does not read is cut; one that reads gets all, however long that
// takes in all.
func TestUnreadStreamsAreCut(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pourer{messages: 100, ended: make(chan error, 1)}
			s := start(t, setup{prepare: func(s *serve.Server) {
				s.Mount(authzv1connect.NewLookupServiceHandler(p, s.HandlerOptions()...))
			}})
			c := authzv1connect.NewLookupServiceClient(httpClient(t, "acme-read", http2), s.url, connect.WithAcceptCompression("gzip", nil, nil))
			open := func(ctx context.Context) *connect.ServerStreamForClient[authzv1.StreamObjectsResponse] {
				stream, err := c.StreamObjects(ctx, &authzv1.StreamObjectsRequest{
					Organization: acme, Subject: "user:anna", Permission: "can_read", ResourceType: "document",
				})
				if err != nil {
					t.Fatal(err)
				}
				return stream
			}
			ctx, cancel := context.WithCancel(t.Context())
			open(ctx)
			select {
			case err := <-p.ended:
				if !fault.Is(err, commonv1.Reason_DEADLINE) {
					t.Errorf("the handler ended with %v, want DEADLINE", err)
				}
			case <-time.After(30 * time.Second):
				t.Error("the handler still waits")
			}
			cancel()
			read, n := open(t.Context()), 0
			for read.Receive() {
				n++
			}
			if read.Err() != nil || n != p.messages {
				t.Errorf("who reads got %d messages, %v", n, read.Err())
			}
			_ = read.Close()
		})
	}
}

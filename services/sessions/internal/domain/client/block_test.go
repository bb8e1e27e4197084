package client_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

func TestBlock(t *testing.T) {
	t.Parallel()
	const url, org = "https://app.example/client.json", "org_00000000000000000000000000"
	for name, tc := range map[string]struct {
		command client.Block
		event   proto.Message
		reason  commonv1.Reason
	}{
		"for everybody":          {client.Block{Client: url, Blocked: true}, &eventv1.ClientBlocked{Client: url}, 0},
		"for an organization":    {client.Block{Client: url, Organization: org, Blocked: true}, &eventv1.ClientBlocked{Client: url, Organization: org}, 0},
		"again":                  {client.Block{Client: url, Blocked: true, Before: true, Others: client.Limit}, nil, 0},
		"no more":                {client.Block{Client: url, Before: true, Others: client.Limit}, &eventv1.ClientUnblocked{Client: url}, 0},
		"one that was not":       {client.Block{Client: url}, nil, 0},
		"as many as may be":      {client.Block{Client: url, Blocked: true, Others: client.Limit}, nil, commonv1.Reason_LIMIT_REACHED},
		"one that is none":       {client.Block{Client: "https://app.example", Blocked: true}, nil, commonv1.Reason_INVALID_FIELD},
		"one that is registered": {client.Block{Client: "cli_00000000000000000000000000", Blocked: true}, nil, commonv1.Reason_INVALID_FIELD},
	} {
		events, err := tc.command.Decide()
		var have proto.Message
		if len(events) == 1 {
			have = events[0]
		}
		if (err != nil) != (tc.reason != 0) || err != nil && !fault.Is(err, tc.reason) || len(events) > 1 || !proto.Equal(have, tc.event) {
			t.Errorf("%s: %v, %v", name, events, err)
		}
	}
}

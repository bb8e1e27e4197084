package client

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// Block refuses a client that nobody registered, or takes it again: for an organization
// or, for "", for everybody.
type Block struct {
	Client, Organization string
	// Blocked is what is to be.
	Blocked bool
	// Before is what is; Others is how many are blocked there.
	Before bool
	Others int64
}

// Decide returns the event that changes it; none where nothing changes.
//
// Errors: INVALID_FIELD, LIMIT_REACHED. None writes anything.
func (c Block) Decide() ([]proto.Message, error) {
	switch {
	case !IsDocument(c.Client):
		return nil, fault.Field("client", uri.DocumentRule(c.Client), "is no URL of a client's document")
	case c.Blocked == c.Before:
		return nil, nil
	case !c.Blocked:
		return []proto.Message{&eventv1.ClientUnblocked{Client: c.Client, Organization: c.Organization}}, nil
	case c.Others >= Limit:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "as many clients are blocked as may be").
			With("limit", strconv.Itoa(Limit)).With("field", "clients")
	}
	return []proto.Message{&eventv1.ClientBlocked{Client: c.Client, Organization: c.Organization}}, nil
}

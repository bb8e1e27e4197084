package signingkey

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Made is a key pair that was made for one of the commands.
type Made struct {
	KID, Region, Algorithm, PublicJWK string
}

// created is the event of a new key.
func (m Made) created(activeAt time.Time) proto.Message {
	return &eventv1.SigningKeyCreated{
		Kid: m.KID, Region: m.Region, Algorithm: m.Algorithm, PublicJwk: m.PublicJWK, ActiveAt: timestamppb.New(activeAt),
	}
}

// Advance does what is due by the clock.
type Advance struct {
	Policy Policy
	// Made is the key to take where one is to be made.
	Made Made
	At   time.Time
}

// Decide returns the events that are due for the keys of one region and algorithm, none
// where nothing is. The first key signs from the commit that makes it.
func (c Advance) Decide(keys []State) []proto.Message {
	plan := Next(keys, c.Policy, c.At)
	var events []proto.Message
	if plan.Make.Due {
		events = append(events, c.Made.created(plan.Make.ActiveAt))
		if !plan.Make.ActiveAt.After(c.At) {
			plan.Activate = c.Made.KID
		}
	}
	if plan.Activate != "" {
		events = append(events, &eventv1.SigningKeyActivated{Kid: plan.Activate})
	}
	for _, kid := range plan.Deactivate {
		events = append(events, &eventv1.SigningKeyDeactivated{Kid: kid, DeleteAt: timestamppb.New(c.At.Add(c.Policy.Keep))})
	}
	for _, kid := range plan.Delete {
		events = append(events, &eventv1.SigningKeyDeleted{Kid: kid})
	}
	return events
}

// Rotate makes the next key before its time.
type Rotate struct {
	Policy Policy
	Made   Made
	// Emergency: somebody else may have the keys. What they signed is refused from the
	// commit on, and the new one signs at once.
	Emergency bool
	At        time.Time
}

// Decide returns the events.
//
// Errors: LIMIT_REACHED when the next key waits already; not in an emergency.
func (c Rotate) Decide(keys []State) ([]proto.Message, error) {
	if c.Emergency {
		events := []proto.Message{c.Made.created(c.At), &eventv1.SigningKeyActivated{Kid: c.Made.KID}}
		for _, k := range keys {
			if k.Status != Deleted {
				events = append(events, &eventv1.SigningKeyDeleted{Kid: k.KID, Emergency: true})
			}
		}
		return events, nil
	}
	signs := false
	for _, k := range keys {
		if k.Status == Initial {
			return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "the next key is published and waits for its time").
				With("limit", strconv.Itoa(1)).With("field", "keys")
		}
		signs = signs || k.Status == Active
	}
	if !signs {
		return []proto.Message{c.Made.created(c.At), &eventv1.SigningKeyActivated{Kid: c.Made.KID}}, nil
	}
	return []proto.Message{c.Made.created(c.At.Add(c.Policy.Publish))}, nil
}

package model

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// State is what a step of a model needs to know.
type State struct {
	Model    string
	State    eventv1.ModelState
	Audience Audience
	// Line is what the models of its name offer now.
	Line Line
	// Pinned is an organization that is assigned the model by id, and Follower
	// one that follows its line; empty: there is none.
	Pinned, Follower string
}

// SetState moves a model to another state.
type SetState struct {
	To eventv1.ModelState
	// Audience is of canaries.
	Audience Audience
}

// steps are the states that a model may go to, by where it is. A published model
// never changes and publishing it again gives the same one, so what was retired
// has to be able to come back.
var steps = map[eventv1.ModelState][]eventv1.ModelState{
	Draft:   {Canary, Active, Retired},
	Canary:  {Canary, Active, Retired},
	Active:  {Retired},
	Retired: {Canary, Active},
}

// Decide returns the events of the step, in the platform's log, none when the
// model is there already. A model that becomes active retires the one that was:
// those who follow the line move on, and those who stay with it by id stay.
//
// Errors: INVALID_FIELD (canary), MODEL_STATE with metadata "state" (the model's,
// or "model" that is in canary), MODEL_IN_USE with metadata "organization". None
// of them changes anything.
func (c SetState) Decide(s State) ([]proto.Message, error) {
	if c.To != Canary && !c.Audience.Equal(Audience{}) {
		return nil, fault.Field("canary", "absent", "is for MODEL_STATE_CANARY only")
	}
	if s.State == c.To && s.Audience.Equal(c.Audience) {
		return nil, nil
	}
	if !slices.Contains(steps[s.State], c.To) {
		return nil, stateFault(s.State, fmt.Sprintf("a model that is %s cannot become %s", Word(s.State), Word(c.To)))
	}
	changed := &eventv1.ModelStateChanged{Model: s.Model, State: c.To}
	switch c.To {
	case Canary:
		if s.Line.Canary != "" && s.Line.Canary != s.Model {
			return nil, stateFault(s.State, fmt.Sprintf("model %s of the same name is in canary; make it active or retire it first", s.Line.Canary)).
				With("model", s.Line.Canary)
		}
		changed.Organizations, changed.BasisPoints = c.Audience.Organizations, c.Audience.BasisPoints
	case Active:
		if s.Line.Active != "" {
			return []proto.Message{&eventv1.ModelStateChanged{Model: s.Line.Active, State: Retired}, changed}, nil
		}
	case Retired:
		if err := unused(s); err != nil {
			return nil, err
		}
	case Draft, eventv1.ModelState_MODEL_STATE_UNSPECIFIED: // no step leads there
	}
	return []proto.Message{changed}, nil
}

// unused refuses to retire what is in use. A canary's followers go back to the
// active model.
func unused(s State) error {
	switch {
	case s.Pinned != "":
		return fault.New(fault.Precondition, commonv1.Reason_MODEL_IN_USE,
			"organizations are assigned the model; assign them another first").With("organization", s.Pinned)
	case s.State == Active && s.Follower != "":
		return fault.New(fault.Precondition, commonv1.Reason_MODEL_IN_USE,
			"organizations follow the line; make another of its models active instead").With("organization", s.Follower)
	}
	return nil
}

// Retirement is the fault of giving a retired model to an organization.
func Retirement() *fault.Fault {
	return stateFault(Retired, "the model is retired; make it active, or choose another")
}

// Inactive is the fault of following a line of which nothing is active.
func Inactive(line string) *fault.Fault {
	return stateFault(Draft, fmt.Sprintf("no model named %q is active; make one so first: meridian model state MODEL active", line))
}

// NotAssigned is the fault of an organization without a model.
func NotAssigned() *fault.Fault {
	return fault.New(fault.Precondition, commonv1.Reason_MODEL_NOT_ASSIGNED,
		"the organization has no model; assign one first: meridian model assign MODEL, or --line NAME")
}

func stateFault(state eventv1.ModelState, detail string) *fault.Fault {
	return fault.New(fault.Precondition, commonv1.Reason_MODEL_STATE, detail).With("state", Word(state))
}

// Word is a state in lower case, as draft.
func Word(s eventv1.ModelState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "MODEL_STATE_"))
}

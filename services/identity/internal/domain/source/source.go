// Package source decides what happens to the sources that users are imported from.
package source

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// Max is how many sources there may be.
const Max = 100

// State is a source as the platform's log tells it. The zero State is a source that
// does not exist.
type State struct {
	Name string
	// CheckerURL is where passwords are checked, or "".
	CheckerURL string
	Disabled   bool
	// Secrets is how many secrets were made; the newest counts.
	Secrets uint32
}

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	if e, ok := event.(*eventv1.SourceChanged); ok {
		*s = State{Name: e.GetSource(), CheckerURL: e.GetCheckerUrl(), Disabled: e.GetDisabled(), Secrets: e.GetSecrets()}
	}
}

// Asked says whether the source's checker is asked.
func (s State) Asked() bool { return s.CheckerURL != "" && !s.Disabled && s.Secrets > 0 }

// Put makes a source, or changes it.
type Put struct {
	Name string
	// CheckerURL passed legacy.CheckURL, or is "".
	CheckerURL string
	Disabled   bool
	// NewSecret makes another secret. The first is made with the first checker.
	NewSecret bool
	// Others is how many other sources there are.
	Others int
}

// Decide returns the event that changes the source, or none when it is so already.
//
// Errors: LIMIT_REACHED for a new source. Nothing is written then.
func (c Put) Decide(s State) ([]proto.Message, error) {
	if s.Name == "" && c.Others >= Max {
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "there are as many sources as may be").
			With("field", "name").With("limit", strconv.Itoa(Max))
	}
	next := State{Name: c.Name, CheckerURL: c.CheckerURL, Disabled: c.Disabled, Secrets: s.Secrets}
	if c.NewSecret || c.CheckerURL != "" && s.Secrets == 0 {
		next.Secrets++
	}
	if next == s {
		return nil, nil
	}
	return []proto.Message{&eventv1.SourceChanged{
		Source: next.Name, CheckerUrl: next.CheckerURL, Disabled: next.Disabled, Secrets: next.Secrets,
	}}, nil
}

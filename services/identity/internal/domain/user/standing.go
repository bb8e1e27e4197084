package user

import (
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// Suspend ends what a user may do.
type Suspend struct{}

// Decide returns the event that suspends the user, or none when the user is.
//
// Errors: NOT_FOUND, USER_ERASED. Neither writes anything.
func (Suspend) Decide(s State) ([]proto.Message, error) {
	if err := s.Present(); err != nil || s.Status == Suspended {
		return nil, err
	}
	return []proto.Message{&eventv1.UserSuspended{User: s.ID}}, nil
}

// Resume takes Suspend back.
type Resume struct{}

// Decide returns the event that takes the suspension back, or none when the user
// is active.
//
// Errors: NOT_FOUND, USER_ERASED. Neither writes anything.
func (Resume) Decide(s State) ([]proto.Message, error) {
	if err := s.Present(); err != nil || s.Status == Active {
		return nil, err
	}
	return []proto.Message{&eventv1.UserResumed{User: s.ID}}, nil
}

// Erase ends a user for good. The key is destroyed in the same commit.
type Erase struct {
	// KeyDigest is the SHA-256 of the wrapped key, or nil when there was none.
	KeyDigest []byte
}

// Decide returns the last event of the user's log, or none when it has it.
//
// Errors: NOT_FOUND.
func (c Erase) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case s.Status == Erased:
		return nil, nil
	}
	return []proto.Message{&eventv1.UserErased{User: s.ID, KeyDigest: c.KeyDigest}}, nil
}

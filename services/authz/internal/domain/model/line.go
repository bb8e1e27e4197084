// Package model decides the lives of models: which steps a model may take, and
// which model of a line an organization uses.
package model

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
)

// The states of a model, as events record them.
const (
	Draft   = eventv1.ModelState_MODEL_STATE_DRAFT
	Canary  = eventv1.ModelState_MODEL_STATE_CANARY
	Active  = eventv1.ModelState_MODEL_STATE_ACTIVE
	Retired = eventv1.ModelState_MODEL_STATE_RETIRED
)

// Audience says for whom a canary is.
type Audience struct {
	// Organizations are sorted ids.
	Organizations []string
	// BasisPoints is the share of all others, in hundredths of a percent.
	BasisPoints uint32
}

// whole is a share of everybody.
const whole = 10_000

// Has says whether an organization is in the audience. The share is of hashes of
// ids: an organization that a share holds is held by every larger one.
func (a Audience) Has(organization string) bool {
	if _, listed := slices.BinarySearch(a.Organizations, organization); listed {
		return true
	}
	sum := sha256.Sum256([]byte(organization))
	return binary.BigEndian.Uint64(sum[:])%whole < uint64(a.BasisPoints)
}

// Equal says whether two audiences are the same.
func (a Audience) Equal(b Audience) bool {
	return a.BasisPoints == b.BasisPoints && slices.Equal(a.Organizations, b.Organizations)
}

// Line is what the models of one name offer to those who follow the name.
type Line struct {
	// Active and Canary are ids of models; empty: there is none.
	Active, Canary string
	// Audience is whom the canary is for.
	Audience Audience
}

// For returns the model that an organization that follows the line should use:
// the canary when it is in the audience, else the active one. It is empty when
// nothing is active, whatever is in canary: a canary is an exception, and there
// is nothing that it would be an exception to.
func (l Line) For(organization string) string {
	if l.Active != "" && l.Canary != "" && l.Audience.Has(organization) {
		return l.Canary
	}
	return l.Active
}

// Package emaildomain decides what happens to the email domains of organizations.
//
// An organization proves a domain by a TXT record with a challenge of its own at a
// name below it. So several organizations may prove one domain, each by itself, and
// nobody gains anything by the challenge of another.
package emaildomain

import (
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
)

const (
	// MaxDomains is how many domains an organization has at most.
	MaxDomains = 100
	// MaxMisses is how many checks in a row that miss the record end a proof.
	MaxMisses = 3

	// label is where the record is, below the domain.
	label = "_meridian-challenge."
	// value is what the record holds, before the challenge.
	value = "meridian-domain-verification="
	// maxName is the length of a name in the DNS.
	maxName = 253
)

// Status says whether a domain is proved. Rows hold its number.
type Status int16

// The statuses. The zero Status is of a domain that does not exist.
const (
	_ Status = iota
	Pending
	Verified
	Lapsed
)

// State is a domain as its organization's log tells it. The zero State is a domain
// that does not exist.
type State struct {
	ID           string
	Organization string
	Name         string // A-labels, lower case
	Challenge    string
	Status       Status
}

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.DomainAdded:
		*s = State{
			ID: e.GetDomain(), Organization: e.GetOrganization(), Name: e.GetName(), Challenge: e.GetChallenge(), Status: Pending,
		}
	case *eventv1.DomainVerified:
		if s.ID == e.GetDomain() {
			s.Status = Verified
		}
	case *eventv1.DomainLapsed:
		if s.ID == e.GetDomain() {
			s.Status = Lapsed
		}
	case *eventv1.DomainRemoved:
		if s.ID == e.GetDomain() {
			*s = State{}
		}
	}
}

// RecordName is where the TXT record is looked for.
func (s State) RecordName() string { return label + s.Name }

// RecordValue is what the TXT record holds.
func (s State) RecordValue() string { return value + s.Challenge }

// Challenge are the random bits that a proof must show. They must come from
// crypto/rand.
type Challenge [20]byte

// String is the challenge in 32 characters of lower-case base32.
func (c Challenge) String() string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(c[:]))
}

// ParseName reads a domain name as that of an email address is read, so that the
// two agree, and returns its A-labels in lower case.
//
// Errors: INVALID_FIELD of field name, by rule length, domain (no name of at least two
// labels, or a number), scripts, characters or marks, and public_suffix (others register
// below it). No error holds any part of the text.
func ParseName(text string) (string, error) {
	a, err := address.Parse("x@" + strings.TrimSpace(text))
	if err != nil {
		rule := "domain"
		if f, ok := fault.As(err); ok && f.Meta["rule"] != "format" && f.Meta["rule"] != "local_part" {
			rule = f.Meta["rule"]
		}
		return "", fault.Field("name", rule, "must be the name of a domain, as example.com")
	}
	if len(label)+len(a.Domain) > maxName {
		return "", fault.Field("name", "length", fmt.Sprintf("must have at most %d characters, so that there is a place for the record", maxName-len(label)))
	}
	if suffix, _ := publicsuffix.PublicSuffix(a.Domain); suffix == a.Domain {
		return "", fault.Field("name", "public_suffix", "must not be a public suffix: others register below it")
	}
	return a.Domain, nil
}

// Add starts the proof of a domain.
type Add struct {
	ID           string
	Organization string
	// Name is as ParseName returns it.
	Name      string
	Challenge Challenge
	// Others is how many domains the organization has.
	Others int64
}

// Decide returns the event that adds the domain.
//
// Errors: ALREADY_EXISTS, INVALID_FIELD (id), LIMIT_REACHED. None writes anything. That
// the organization does not have the domain is the unique index's to say.
func (c Add) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.ID != "":
		return nil, Exists()
	case !id.Valid(id.Domain, c.ID):
		return nil, fault.Field("id", "domain_id", "is not the id of a domain")
	case c.Others >= MaxDomains:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, fmt.Sprintf("an organization has at most %d domains", MaxDomains)).
			With("limit", strconv.Itoa(MaxDomains)).With("field", "domains")
	}
	return []proto.Message{&eventv1.DomainAdded{
		Domain: c.ID, Organization: c.Organization, Name: c.Name, Challenge: c.Challenge.String(),
	}}, nil
}

// Exists is the fault of a domain that the organization has.
func Exists() *fault.Fault {
	return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the organization has this domain").With("field", "name")
}

// NotFound is the fault of a domain that is absent or another organization's.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such domain")
}

// Verify proves a domain.
type Verify struct {
	// Found says whether the DNS has the record.
	Found bool
}

// Decide returns the event that the domain is proved, or none when it was.
//
// Errors: NOT_FOUND, DOMAIN_NOT_PROVEN. None writes anything: a proof that was made
// before is ended by Lapse only.
func (c Verify) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.ID == "":
		return nil, NotFound()
	case !c.Found:
		return nil, fault.New(fault.Precondition, commonv1.Reason_DOMAIN_NOT_PROVEN, "the DNS has no TXT record with the challenge").
			With("record_name", s.RecordName())
	case s.Status == Verified:
		return nil, nil
	}
	return []proto.Message{&eventv1.DomainVerified{Domain: s.ID}}, nil
}

// Lapse ends a proof whose record is gone.
type Lapse struct {
	// Misses is how many checks in a row missed the record.
	Misses int
}

// Decide returns the event that ends the proof, or none while there were too few
// misses, and for what is not proved.
func (c Lapse) Decide(s State) []proto.Message {
	if s.Status != Verified || c.Misses < MaxMisses {
		return nil
	}
	return []proto.Message{&eventv1.DomainLapsed{Domain: s.ID}}
}

// Remove gives a domain up.
type Remove struct{}

// Decide returns the event that removes the domain.
//
// Errors: NOT_FOUND.
func (Remove) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	return []proto.Message{&eventv1.DomainRemoved{Domain: s.ID}}, nil
}

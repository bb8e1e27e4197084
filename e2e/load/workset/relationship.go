// Package workset makes, writes and reads work sets: relationships of a cloud
// company's customers, and questions about them whose answers are known. They
// are for load tests and for comparisons with other authorization services.
//
// A work set is a folder of CSV files, each with a header line:
//
//	tuples.csv  object_type,object_id,relation,subject_type,subject_id,subject_relation
//	checks.csv  subject_type,subject_id,permission,object_type,object_id,expected,kind
//	lists.csv   subject_type,subject_id,permission,object_type,expected_count,expected_digest
//	probes.csv  user_id,relation,object_type,object_id
//
// The model that gives the relationships their meaning is in cloud.fga.
package workset

import _ "embed"

// Model is the authorization model of every work set, in the OpenFGA language.
//
//go:embed cloud.fga
var Model string

// Object is one typed thing, as table:o3-s1-d0-t5.
type Object struct {
	Type, ID string
}

// String is type:id.
func (o Object) String() string { return o.Type + ":" + o.ID }

// Subject is an object; or everybody of a type, when ID is "*"; or all that
// have Relation to the object, when Relation is not empty.
type Subject struct {
	Type, ID, Relation string
}

// String is type:id or type:id#relation.
func (s Subject) String() string {
	if s.Relation == "" {
		return s.Type + ":" + s.ID
	}
	return s.Type + ":" + s.ID + "#" + s.Relation
}

// Tuple is one relationship: the subject has the relation to the object.
type Tuple struct {
	Object   Object
	Relation string
	Subject  Subject
}

// Check is one question, with the answer that is right.
type Check struct {
	Subject    Subject
	Permission string
	Object     Object
	Expected   bool
	// Kind is the part of the mix that the question belongs to: direct, group,
	// deep, exclusion or wildcard.
	Kind string
}

// List asks for all objects of a type to which the subject has a permission.
type List struct {
	Subject    Subject
	Permission string
	ObjectType string
	// Count and Digest describe the right answer; see [Digest].
	Count  int
	Digest string
}

// Probe is a tuple that is not in the work set and that makes Check true once
// it is written: it measures how long a write takes to become visible.
type Probe struct {
	Tuple Tuple
	Check Check
}

// user is the subject that a user is.
func user(id string) Subject { return Subject{Type: "user", ID: id} }

// members is the subject that the members of a group are.
func members(group string) Subject { return Subject{Type: "group", ID: group, Relation: "member"} }

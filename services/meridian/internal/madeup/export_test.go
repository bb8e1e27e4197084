package madeup

import identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"

// User is the nth user.
func (f Fill) User(n int, ids []string) *identityv1.ImportedUser { return f.user(n, ids) }

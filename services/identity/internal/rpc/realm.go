package rpc

import "github.com/meridian-iam/meridian/services/identity/internal/store"

// realmOf is the realm of an organization's users: the organization, when it keeps
// them apart, or "".
func realmOf(o store.Organization) string {
	if o.Isolated {
		return o.ID
	}
	return ""
}

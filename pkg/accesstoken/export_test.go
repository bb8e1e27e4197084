package accesstoken

// NewDenyOf is NewDeny with another bound.
var NewDenyOf = newDeny

// Forget empties the cache.
func (v *Verifier) Forget() { v.cache = newCache(2) }

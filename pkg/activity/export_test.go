package activity

// Bounds, for tests.
const (
	MaxOthers  = maxOthers
	MaxWaiting = maxWaiting
)

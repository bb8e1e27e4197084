package identity

import "github.com/meridian-iam/meridian/services/identity/internal/blind"

// BlindKey is what email addresses are found by: the regions of a deployment have
// the same. The zero BlindKey finds none.
type BlindKey = blind.Key

// LoadBlindKey reads a file that MakeBlindKey made. A file that others than its
// owner can read is refused.
func LoadBlindKey(path string) (BlindKey, error) { return blind.LoadKey(path) }

// MakeBlindKey writes a random key to a new file, mode 0600. A file that exists is
// kept.
func MakeBlindKey(path string) error { return blind.MakeKeyFile(path) }

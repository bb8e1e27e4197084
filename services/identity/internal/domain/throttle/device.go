package throttle

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// A device's text is "mdv_" and base64url of a random id, the day of issue and a
// MAC over both and the user. It says nothing about the user, and proves nothing
// but that the user signed in there once.
const (
	devicePrefix  = "mdv_"
	idSize        = 16
	daySize       = 4
	macSize       = 32
	devicePurpose = "device"
	// deviceDays is how long a device is known.
	deviceDays = 400
	day        = 24 * time.Hour
)

// MAC authenticates a text, under a key that only the servers have: 32 bytes.
type MAC func(purpose, realm, text string) []byte

// NewDevice makes the text that a browser keeps. id is random.
func NewDevice(mac MAC, user string, id [idSize]byte, at time.Time) secret.String {
	body := binary.BigEndian.AppendUint32(id[:], uint32(at.Unix()/int64(day/time.Second)))
	body = append(body, mac(devicePurpose, user, string(body))...)
	return secret.NewString(devicePrefix + base64.RawURLEncoding.EncodeToString(body))
}

// Device returns the id of a device that the user signed in with, from the text
// that the browser sent, or "" when it is none. The work is the same for a user
// "", who has none.
func Device(mac MAC, user string, text secret.String, at time.Time) string {
	encoded, prefixed := strings.CutPrefix(text.Reveal(), devicePrefix)
	body, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	sound := prefixed && err == nil && len(body) == idSize+daySize+macSize
	if !sound {
		body = make([]byte, idSize+daySize+macSize)
	}
	given, said := body[:idSize+daySize], body[idSize+daySize:]
	same := subtle.ConstantTimeCompare(mac(devicePurpose, user, string(given)), said) == 1
	age := at.Unix()/int64(day/time.Second) - int64(binary.BigEndian.Uint32(given[idSize:]))
	if !sound || !same || user == "" || age < -1 || age > deviceDays {
		return ""
	}
	return hex.EncodeToString(given[:idSize])
}

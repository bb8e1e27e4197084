package rpc

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/otp"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Factors are the ways to prove who one is that this deployment has.
type Factors struct {
	// Hasher hashes passwords. Nil: there are none.
	Hasher *password.Hasher
	// Breached lists passwords that are known. Nil: none is refused for it.
	Breached *password.Breached
	// Passkeys is the relying party. Nil: there are no passkeys.
	Passkeys *passkey.Relying
	// Registration is what is demanded of a new passkey. Of one that is used, its user
	// must be verified wherever that is demanded here, or the passkey is all there is.
	Registration passkey.Policy
	// Issuer is what authenticator apps show; empty means Meridian.
	Issuer string
}

// enrolled says what a user can prove with.
func (f Factors) enrolled(rows []store.Credential) authentication.Enrolled {
	var has authentication.Enrolled
	for _, c := range rows {
		switch c.Kind {
		case credential.Password:
			has.Password = has.Password || c.Hash != ""
		case credential.TOTP:
			has.TOTP = true
		case credential.RecoveryCodes:
			has.RecoveryCode = has.RecoveryCode || c.Left > 0
		case credential.Passkey:
			if f.usable(c) {
				has.Passkey = has.Passkey || c.Passkey.UserVerified
				has.SecurityKey = has.SecurityKey || !c.Passkey.UserVerified
			}
		default: // rows have no other kind
		}
	}
	return has
}

// usable says whether a passkey can be asked for.
func (f Factors) usable(c store.Credential) bool {
	return c.Kind == credential.Passkey && f.Passkeys != nil && c.RPID == f.Passkeys.ID && !c.Flagged
}

// passkeys are the passkeys of a user that can be asked for, as the relying party
// knows them.
func (f Factors) passkeys(rows []store.Credential) []passkey.Credential {
	out := []passkey.Credential{}
	for _, c := range rows {
		if f.usable(c) {
			out = append(out, relied(c))
		}
	}
	return out
}

// relied is a row as the relying party knows it. The user handle is the user's id.
func relied(c store.Credential) passkey.Credential {
	aaguid, err := uuid.FromBytes(c.AAGUID)
	if err != nil {
		aaguid = uuid.Nil
	}
	return passkey.Credential{
		ID: c.Passkey.RawID, UserHandle: []byte(c.User), RPID: c.RPID, PublicKey: c.Passkey.PublicKey,
		Algorithm: passkey.Algorithm(c.Passkey.Algorithm), AAGUID: aaguid, SignCount: uint32(c.Passkey.SignCount),
		Transports: c.Passkey.Transports, BackupEligible: c.BackupEligible, BackupState: c.Passkey.BackedUp,
		UserVerified: c.Passkey.UserVerified, Discoverable: c.Passkey.Discoverable, AttestationFormat: c.Format, Trusted: c.Passkey.Trusted,
	}
}

// passwordPolicy is what an organization's settings ask of a new password.
func (f Factors) passwordPolicy(settings organization.Settings) password.Policy {
	return password.Policy{
		MinLength: settings.PasswordLength(), ForbidBreached: !settings.PasswordAllowBreached && f.Breached != nil,
		ForbidIdentity: true, History: int(settings.PasswordHistory),
	}
}

// newHash checks a new password and hashes it. former are the hashes of those that
// must not come back, the newest first. It takes as long as each of them does: it
// is not for a transaction.
//
// Errors: INVALID_FIELD (password: min_length, max_length, breached, identity,
// history, and those of the text), RATE_LIMITED, SERVICE_UNAVAILABLE.
func (f Factors) newHash(
	ctx context.Context, policy password.Policy, who password.Context, former []string, text secret.String,
) (string, error) {
	if f.Hasher == nil {
		return "", fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "there are no passwords here")
	}
	if err := policy.Check(text, who); err != nil {
		return "", err
	}
	if err := policy.CheckBreached(ctx, f.Breached, text); err != nil {
		return "", err
	}
	if err := policy.CheckHistory(ctx, f.Hasher, former, text); err != nil {
		return "", err
	}
	return f.Hasher.Hash(ctx, text)
}

// algorithm names the algorithm of an encoded hash, for the log.
func algorithm(hash string) string {
	fields := strings.Split(hash, "$")
	name := fields[0]
	if name == "" && len(fields) > 1 {
		name = fields[1]
	}
	switch name {
	case "2a", "2b", "2y":
		return "bcrypt"
	case "7":
		return "scrypt"
	}
	if cut, _, found := strings.Cut(name, "_"); found { // as pbkdf2_sha256 of Django
		return cut
	}
	return name
}

// seed is a TOTP's seed, as it is sealed.
type seed struct {
	Secret    string        `json:"secret"`
	Algorithm otp.Algorithm `json:"algorithm,omitempty"`
	Digits    int           `json:"digits,omitempty"`
	Period    int           `json:"period,omitempty"`
}

// encodeSeed is what is sealed of a key.
func encodeSeed(k otp.Key) ([]byte, error) {
	set := k.Settings()
	return json.Marshal(seed{Secret: k.Secret().Reveal(), Algorithm: set.Algorithm, Digits: set.Digits, Period: set.Period})
}

// decodeSeed reverses encodeSeed.
func decodeSeed(plain []byte) (otp.Key, error) {
	var s seed
	if err := json.Unmarshal(plain, &s); err != nil {
		return otp.Key{}, fault.New(fault.Internal, commonv1.Reason_DEFECT, "the seed of a TOTP cannot be read").Because(err)
	}
	return otp.RestoreKey(secret.NewString(s.Secret), otp.Settings{Algorithm: s.Algorithm, Digits: s.Digits, Period: s.Period})
}

// sealedFor says what sealed bytes are, so that one cannot stand in for another.
func sealedFor(kind credential.Kind, id string) string { return kind.String() + " " + id }

// How often it can be tried to finish a ceremony: the challenge of a passkey is for
// one use, the code of a TOTP is mistyped.
const (
	passkeyTries = 1
	totpTries    = 5
)

// ceremonyLife is how long a registration may take.
const ceremonyLife = 10 * time.Minute

package credential_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
)

type command interface {
	Decide(credential.Set) ([]proto.Message, error)
}

var (
	user                       = id.New(id.User)
	password, codes, key, totp = id.New(id.Credential), id.New(id.Credential), id.New(id.Credential), id.New(id.Credential)
	other                      = id.New(id.Credential)
)

func fold(events ...proto.Message) credential.Set {
	var s credential.Set
	for _, e := range events {
		s = s.Apply(e)
	}
	return s
}

// there are one of each kind.
func there() []proto.Message {
	return []proto.Message{
		&eventv1.PasswordSet{User: user, Credential: password},
		&eventv1.RecoveryCodesIssued{User: user, Credential: codes, Count: 2},
		&eventv1.PasskeyAdded{User: user, Credential: key, Name: "laptop", RpId: "example.com"},
		&eventv1.TotpAdded{User: user, Credential: totp, Name: "phone"},
	}
}

func TestDecisions(t *testing.T) {
	for name, tc := range map[string]struct {
		given []proto.Message
		when  command
		then  proto.Message // nil: no event
		want  commonv1.Reason
	}{
		"first password": {
			nil,
			credential.SetPassword{User: user, ID: other, Algorithm: "argon2id", Origin: "user"},
			&eventv1.PasswordSet{User: user, Credential: other, Algorithm: "argon2id", Origin: "user"}, 0,
		},
		"another password keeps its id": {
			there(),
			credential.SetPassword{User: user, ID: other, Origin: "recovery"},
			&eventv1.PasswordSet{User: user, Credential: password, Origin: "recovery"}, 0,
		},
		"password with a malformed id": {nil, credential.SetPassword{User: user, ID: "x"}, nil, commonv1.Reason_INVALID_FIELD},
		"passkey": {
			there(),
			credential.AddPasskey{User: user, ID: other, Name: "key", RPID: "example.com", AAGUID: []byte{1}, Format: "none", BackupEligible: true},
			&eventv1.PasskeyAdded{User: user, Credential: other, Name: "key", RpId: "example.com", Aaguid: []byte{1}, AttestationFormat: "none", BackupEligible: true}, 0,
		},
		"passkey with an id that is taken": {there(), credential.AddPasskey{User: user, ID: key}, nil, commonv1.Reason_ALREADY_EXISTS},
		"one passkey too many":             {many(credential.MaxPasskeys), credential.AddPasskey{User: user, ID: other}, nil, commonv1.Reason_LIMIT_REACHED},
		"flag":                             {there(), credential.Flag{User: user, ID: key}, &eventv1.PasskeyFlagged{User: user, Credential: key}, 0},
		"flag again":                       {append(there(), &eventv1.PasskeyFlagged{Credential: key}), credential.Flag{User: user, ID: key}, nil, 0},
		"flag a TOTP":                      {there(), credential.Flag{User: user, ID: totp}, nil, commonv1.Reason_NOT_FOUND},
		"totp":                             {there(), credential.AddTOTP{User: user, ID: other, Name: "n"}, &eventv1.TotpAdded{User: user, Credential: other, Name: "n"}, 0},
		"one totp too many":                {manyTOTPs(credential.MaxTOTPs), credential.AddTOTP{User: user, ID: other}, nil, commonv1.Reason_LIMIT_REACHED},
		"codes":                            {nil, credential.IssueCodes{User: user, ID: other, Count: 10}, &eventv1.RecoveryCodesIssued{User: user, Credential: other, Count: 10}, 0},
		"other codes keep their id":        {there(), credential.IssueCodes{User: user, ID: other, Count: 10}, &eventv1.RecoveryCodesIssued{User: user, Credential: codes, Count: 10}, 0},
		"use a code":                       {there(), credential.UseCode{User: user, ID: codes}, &eventv1.RecoveryCodeUsed{User: user, Credential: codes, Left: 1}, 0},
		"use a code too many": {
			append(there(), &eventv1.RecoveryCodeUsed{Credential: codes}), credential.UseCode{User: user, ID: codes}, nil, commonv1.Reason_NOT_FOUND,
		},
		"rename":                  {there(), credential.Rename{User: user, ID: totp, Name: "new"}, &eventv1.CredentialRenamed{User: user, Credential: totp, Name: "new"}, 0},
		"rename to the same":      {there(), credential.Rename{User: user, ID: totp, Name: "phone"}, nil, 0},
		"rename a password":       {there(), credential.Rename{User: user, ID: password, Name: "new"}, nil, commonv1.Reason_INVALID_FIELD},
		"rename what is not":      {there(), credential.Rename{User: user, ID: other, Name: "new"}, nil, commonv1.Reason_NOT_FOUND},
		"delete":                  {there(), credential.Delete{User: user, ID: password}, &eventv1.CredentialDeleted{User: user, Credential: password}, 0},
		"delete twice":            {append(there(), &eventv1.CredentialDeleted{Credential: password}), credential.Delete{User: user, ID: password}, nil, commonv1.Reason_NOT_FOUND},
		"delete of somebody else": {nil, credential.Delete{User: user, ID: password}, nil, commonv1.Reason_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := tc.when.Decide(fold(tc.given...))
			switch {
			case tc.want != 0:
				if !fault.Is(err, tc.want) || events != nil {
					t.Errorf("Decide = %v, %v; want %v", events, err, tc.want)
				}
			case err != nil:
				t.Error(err)
			case tc.then == nil && len(events) != 0, tc.then != nil && (len(events) != 1 || !proto.Equal(events[0], tc.then)):
				t.Errorf("Decide = %v, want %v", events, tc.then)
			}
		})
	}
}

func many(n int) []proto.Message {
	out := make([]proto.Message, n)
	for i := range out {
		out[i] = &eventv1.PasskeyAdded{User: user, Credential: id.New(id.Credential)}
	}
	return out
}

func manyTOTPs(n int) []proto.Message {
	out := make([]proto.Message, n)
	for i := range out {
		out[i] = &eventv1.TotpAdded{User: user, Credential: id.New(id.Credential)}
	}
	return out
}

func TestFold(t *testing.T) {
	s := fold(append(there(),
		&eventv1.PasskeyFlagged{Credential: key}, &eventv1.CredentialRenamed{Credential: totp, Name: "tablet"},
		&eventv1.RecoveryCodeUsed{Credential: codes, Left: 1}, &eventv1.CredentialRenamed{Credential: other, Name: "nobody"},
		&eventv1.UserSuspended{User: user},
	)...)
	if len(s) != 4 || !s[key].Flagged || s[totp].Name != "tablet" || s[codes].Left != 1 || s[password].Kind != credential.Password {
		t.Errorf("folded %+v", s)
	}
	if s = s.Apply(&eventv1.UserErased{User: user}); len(s) != 0 {
		t.Errorf("after erasure %+v", s)
	}
}

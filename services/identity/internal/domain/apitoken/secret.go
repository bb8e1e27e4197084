package apitoken

import (
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/bearer"
)

// form is that of a token's text: mat_…
var form = bearer.Form{Prefix: "mat", Kind: id.Token}

// NewSecret makes the text for a token and what is stored of it.
func NewSecret(token string, random bearer.Random) (secret.String, bearer.Hash) {
	return form.New(token, random)
}

// ParseSecret takes a token's text apart.
//
// Errors: TOKEN_MALFORMED.
func ParseSecret(s secret.String) (token string, hash bearer.Hash, err error) {
	token, hash, ok := form.Parse(s)
	if !ok {
		return "", bearer.Hash{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MALFORMED, "the bearer token is not a Meridian API token")
	}
	return token, hash, nil
}

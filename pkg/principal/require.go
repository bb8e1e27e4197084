package principal

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Require returns the caller in the context. Every mutation asks for it: there
// is no anonymous one.
//
// Errors: TOKEN_MISSING.
func Require(ctx context.Context) (Principal, error) {
	p, ok := From(ctx)
	if !ok {
		return Principal{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MISSING, "send an API token as \"Authorization: Bearer\"")
	}
	return p, nil
}

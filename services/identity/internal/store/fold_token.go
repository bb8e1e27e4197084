package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
)

// tokenFold rebuilds the rows of an owner's API tokens; "" owns the platform's.
type tokenFold struct {
	owner  string
	tokens map[string]*apitoken.State
}

func newTokenFold(owner string) *tokenFold {
	return &tokenFold{owner: owner, tokens: map[string]*apitoken.State{}}
}

func (f *tokenFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.ApiTokenCreated:
		f.tokens[e.GetToken()] = &apitoken.State{}
		f.tokens[e.GetToken()].Apply(e)
	case *eventv1.ApiTokenExpiryChanged:
		if t := f.tokens[e.GetToken()]; t != nil {
			t.Apply(e)
		}
	case *eventv1.ApiTokenRevoked:
		if t := f.tokens[e.GetToken()]; t != nil {
			t.Apply(e)
		}
	default:
		return false
	}
	return true
}

func (f *tokenFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 1000
	rows := 0
	for before := ""; ; {
		tokens, err := ListAPITokens(ctx, q, f.owner, before, page)
		if err != nil {
			return "", err
		}
		for _, row := range tokens {
			want := f.tokens[row.ID]
			switch {
			case want == nil:
				return fmt.Sprintf("token row %s is not in the log", row.ID), nil
			case !row.Equal(*want):
				return fmt.Sprintf("token row %s differs from the log", row.ID), nil
			}
		}
		rows += len(tokens)
		if len(tokens) < page {
			break
		}
		before = tokens[len(tokens)-1].ID
	}
	if rows != len(f.tokens) {
		return fmt.Sprintf("%d token rows, log says %d", rows, len(f.tokens)), nil
	}
	return "", nil
}

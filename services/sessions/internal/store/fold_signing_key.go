package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/signingkey"
)

// signingKeyFold rebuilds the keys that tokens are signed with.
type signingKeyFold struct{ keys map[string]*signingkey.State }

func newSigningKeyFold() *signingKeyFold {
	return &signingKeyFold{keys: map[string]*signingkey.State{}}
}

func (f *signingKeyFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.SigningKeyCreated:
		f.keys[e.GetKid()] = &signingkey.State{}
	case *eventv1.SigningKeyActivated, *eventv1.SigningKeyDeactivated, *eventv1.SigningKeyDeleted:
	default:
		return false
	}
	for kid, k := range f.keys {
		if about, ok := event.(interface{ GetKid() string }); ok && about.GetKid() == kid {
			k.Apply(event)
		}
	}
	return true
}

func (f *signingKeyFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := ListSigningKeys(ctx, q)
	if err != nil {
		return "", err
	}
	have := map[string]string{}
	for _, row := range rows {
		have[row.KID] = describeKey(row.State)
	}
	for _, kid := range slices.Sorted(maps.Keys(f.keys)) {
		if want := describeKey(*f.keys[kid]); have[kid] != want {
			return fmt.Sprintf("signing key %s: the row says %q, the log %q", kid, have[kid], want), nil
		}
	}
	if len(have) != len(f.keys) {
		return fmt.Sprintf("there are %d signing keys, and by the log %d", len(have), len(f.keys)), nil
	}
	return "", nil
}

func describeKey(k signingkey.State) string {
	deleted := ""
	if !k.DeleteAt.IsZero() {
		deleted = k.DeleteAt.UTC().String()
	}
	return fmt.Sprintf("%s %s %v %s %v %s %v", k.Region, k.Algorithm, k.Status, k.PublicJWK, k.ActiveAt.UTC(), deleted, k.Emergency)
}

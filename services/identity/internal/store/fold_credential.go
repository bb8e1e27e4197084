package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
)

// credentialFold rebuilds the rows of the user's credentials, but for what is in no
// event: secrets, and what is counted.
type credentialFold struct {
	log   string
	store *eventlog.Store

	set credential.Set
	// named are the last events that gave credentials their names, sealed.
	named map[string]eventlog.Recorded
}

func newCredentialFold(log string, store *eventlog.Store) *credentialFold {
	return &credentialFold{log: log, store: store, named: map[string]eventlog.Recorded{}}
}

func (f *credentialFold) apply(event proto.Message) bool {
	f.set = f.set.Apply(event)
	switch event.(type) {
	case *eventv1.PasswordSet, *eventv1.PasskeyAdded, *eventv1.PasskeyFlagged, *eventv1.TotpAdded, *eventv1.RecoveryCodesIssued,
		*eventv1.RecoveryCodeUsed, *eventv1.CredentialRenamed, *eventv1.CredentialDeleted:
		return true
	}
	return false // UserErased too, which the user knows
}

func (f *credentialFold) recorded(r eventlog.Recorded, event proto.Message) {
	switch e := event.(type) {
	case *eventv1.PasskeyAdded:
		f.named[e.GetCredential()] = r
	case *eventv1.TotpAdded:
		f.named[e.GetCredential()] = r
	case *eventv1.CredentialRenamed:
		f.named[e.GetCredential()] = r
	}
}

func (f *credentialFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := ListCredentials(ctx, q, f.log)
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		want, ok := f.set[row.ID]
		switch {
		case !ok:
			return fmt.Sprintf("credential row %s is not in the log", row.ID), nil
		case !row.Equal(want):
			return fmt.Sprintf("credential row %s differs from the log", row.ID), nil
		}
	}
	if len(rows) != len(f.set) {
		return fmt.Sprintf("%d credential rows, log says %d", len(rows), len(f.set)), nil
	}
	return f.compareNames(ctx, q, rows)
}

// compareNames compares the names with what the events have sealed, if this region
// can open it.
func (f *credentialFold) compareNames(ctx context.Context, q sqldb.Querier, rows []Credential) (string, error) {
	maps.DeleteFunc(f.named, func(id string, _ eventlog.Recorded) bool { _, there := f.set[id]; return !there })
	if f.store == nil || len(f.named) == 0 {
		return "", nil
	}
	ids := slices.Sorted(maps.Keys(f.named))
	sealed := make([]eventlog.Recorded, len(ids))
	for i, id := range ids {
		sealed[i] = f.named[id]
	}
	opened, err := f.store.OpenAll(ctx, q, sealed)
	switch {
	case fault.Is(err, commonv1.Reason_KEY_ELSEWHERE):
		return "", nil
	case fault.Is(err, commonv1.Reason_EVENT_CORRUPT):
		return err.Error(), nil
	case err != nil:
		return "", err
	}
	for _, row := range rows {
		i := slices.Index(ids, row.ID)
		if i < 0 {
			continue
		}
		if named, ok := opened[i].(interface{ GetName() string }); !ok || named.GetName() != row.Name {
			return fmt.Sprintf("credential row %s does not have the name that the events have sealed", row.ID), nil
		}
	}
	return "", nil
}

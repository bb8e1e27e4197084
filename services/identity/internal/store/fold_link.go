package store

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/link"
)

// linkFold rebuilds the links of the log's user. The ids at the sources are opened
// when the rows are compared.
type linkFold struct {
	log   string
	store *eventlog.Store
	blind blind.Key

	state  link.State
	erased bool
	// made are the events that made the links.
	made []eventlog.Recorded
}

// apply folds what migrates and erases links too, but knows only the links
// themselves: the rest belongs to others.
func (f *linkFold) apply(event proto.Message) bool {
	f.state.Apply(event)
	switch event.(type) {
	case *eventv1.UserErased:
		f.erased = true
	case *eventv1.UserLinked:
		return true
	}
	return false
}

func (f *linkFold) recorded(r eventlog.Recorded, _ proto.Message) { f.made = append(f.made, r) }

func (f *linkFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := ListLinks(ctx, q, f.log)
	if err != nil {
		return "", err
	}
	if len(rows) != len(f.state.Links) {
		return fmt.Sprintf("%d link rows, the log has %d", len(rows), len(f.state.Links)), nil
	}
	for i, row := range rows {
		want := f.state.Links[i]
		if row.Source != want.Source || row.Migrated != want.Migrated || f.erased && row.ExternalID != "" {
			return fmt.Sprintf("link row %d has source %s, migrated %t, an id %t; the log has %s, %t, %t",
				i+1, row.Source, row.Migrated, row.ExternalID != "", want.Source, want.Migrated, !f.erased), nil
		}
	}
	if f.erased || f.store == nil || len(rows) == 0 {
		return "", nil
	}
	return f.compareIDs(ctx, q, rows)
}

// compareIDs compares the ids at the sources with what the events have sealed, if
// this region can open it.
func (f *linkFold) compareIDs(ctx context.Context, q sqldb.Querier, rows []Link) (string, error) {
	opened, err := f.store.OpenAll(ctx, q, f.made)
	switch {
	case fault.Is(err, commonv1.Reason_KEY_ELSEWHERE):
		return "", nil
	case fault.Is(err, commonv1.Reason_EVENT_CORRUPT):
		return err.Error(), nil
	case err != nil:
		return "", err
	}
	for i, event := range opened {
		e, ok := event.(*eventv1.UserLinked)
		switch {
		case !ok || rows[i].ExternalID != e.GetExternalId():
			return fmt.Sprintf("link row %d is not what the event has sealed", i+1), nil
		case !f.blind.IsZero() && !bytes.Equal(rows[i].Blind, BlindExternal(f.blind, rows[i].Source, rows[i].ExternalID)):
			return fmt.Sprintf("link row %d is not found by its id", i+1), nil
		}
	}
	return "", nil
}

package rpc

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// maxExported is how many events an export has, and maxExportedBytes their size
	// together: the newest.
	maxExported      = 1_000
	maxExportedBytes = 3 << 20
)

// ExportUser implements UserService. All of it is of one moment.
func (s *Users) ExportUser(ctx context.Context, req *identityv1.ExportUserRequest) (out *identityv1.ExportUserResponse, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx pgx.Tx) error {
		out = &identityv1.ExportUserResponse{}
		return s.export(ctx, tx, req.GetUser(), out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Users) export(ctx context.Context, tx pgx.Tx, userID string, out *identityv1.ExportUserResponse) error {
	row, err := store.FindUser(ctx, tx, userID)
	if err != nil {
		return err
	}
	if err := row.Present(); err != nil {
		return err
	}
	out.User = userMessage(row)
	members, err := allMemberships(ctx, tx, userID)
	if err != nil {
		return err
	}
	if out.Memberships, err = userMemberships(ctx, tx, members); err != nil {
		return err
	}
	head, err := s.Log.Head(ctx, tx, userID)
	if err != nil {
		return err
	}
	from := uint64(1)
	if head.Sequence > maxExported {
		from, out.Truncated = head.Sequence-maxExported+1, true
	}
	events, err := s.exported(ctx, tx, userID, from)
	if err != nil {
		return err
	}
	size := 0
	for i, text := range slices.Backward(events) {
		if size += len(text); size > maxExportedBytes {
			events, out.Truncated = events[i+1:], true
			break
		}
	}
	out.Events = events
	return nil
}

// exported are the events of a user's log from a sequence on, with personal data.
func (s *Users) exported(ctx context.Context, tx pgx.Tx, userID string, from uint64) (texts []string, err error) {
	for {
		recorded, err := s.Log.Read(ctx, tx, userID, from, maxExported)
		if err != nil {
			return nil, err
		}
		if len(recorded) == 0 {
			return texts, nil
		}
		opened, err := s.Log.OpenAll(ctx, tx, recorded)
		if err != nil {
			return nil, err
		}
		for i, r := range recorded {
			text, err := exportedEvent(r, opened[i])
			if err != nil {
				return nil, err
			}
			texts = append(texts, text)
		}
		from += uint64(len(recorded))
	}
}

// exportedEvent renders an event for people who read it elsewhere.
func exportedEvent(r eventlog.Recorded, opened proto.Message) (string, error) {
	data, err := protojson.Marshal(opened)
	if err != nil {
		return "", fault.New(fault.Internal, commonv1.Reason_DEFECT, "an event cannot be rendered").Because(err)
	}
	text, err := json.Marshal(struct {
		Sequence uint64          `json:"sequence"`
		Time     time.Time       `json:"time"`
		Type     string          `json:"type"`
		Actor    string          `json:"actor"`
		Data     json.RawMessage `json:"data"`
	}{
		r.Envelope.GetSequence(), r.Time(), r.Envelope.GetType(), r.Envelope.GetActor().GetId(), data,
	})
	return string(text), err
}

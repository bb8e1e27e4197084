package target

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/meridian-iam/meridian/e2e/load/workset"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// pageSize is the largest page of ListObjects.
const pageSize = 1000

// List implements [Target].
func (m *Meridian) List(ctx context.Context, l workset.List, f Freshness) ([]string, error) {
	in, all := m.places[""]
	switch {
	case !all:
		return nil, errSplit
	case m.o.Pages:
		return m.pages(ctx, in, l, f)
	default:
		return m.stream(ctx, in, l, f)
	}
}

func (m *Meridian) stream(ctx context.Context, in location, l workset.List, f Freshness) (ids []string, err error) {
	stream, err := m.listings.StreamObjects(ctx, &authzv1.StreamObjectsRequest{
		Organization: in.Organization, Subject: l.Subject.String(), Permission: l.Permission,
		ResourceType: l.ObjectType, Freshness: freshnessOf(f),
	})
	if err != nil {
		return nil, fmt.Errorf("stream objects: %w", err)
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	complete := false
	for stream.Receive() {
		if ids, err = appendFound(ids, stream.Msg(), l.ObjectType); err != nil {
			return nil, err
		}
		complete = stream.Msg().GetComplete()
	}
	if err := stream.Err(); err != nil {
		return nil, fmt.Errorf("stream objects: %w", err)
	}
	if !complete {
		return nil, fmt.Errorf("stream objects: the stream ended after %d without being complete", len(ids))
	}
	return ids, nil
}

func (m *Meridian) pages(ctx context.Context, in location, l workset.List, f Freshness) (ids []string, err error) {
	for cursor := ""; ; {
		page, err := m.lookups.ListObjects(ctx, &authzv1.ListObjectsRequest{
			Organization: in.Organization, Subject: l.Subject.String(), Permission: l.Permission,
			ResourceType: l.ObjectType, Freshness: freshnessOf(f), PageSize: pageSize, Cursor: cursor,
		})
		if err != nil {
			return nil, fmt.Errorf("list objects: %w", err)
		}
		if ids, err = appendFound(ids, page, l.ObjectType); err != nil {
			return nil, err
		}
		cursor = page.GetNextCursor()
		switch {
		case cursor == "" && page.GetComplete():
			return ids, nil
		case cursor == "" || page.GetIncompleteReason() != authzv1.Incomplete_INCOMPLETE_PAGE:
			return nil, fmt.Errorf("list objects: incomplete after %d: %v", len(ids), page.GetIncompleteReason())
		}
	}
}

// page is a part of a list.
type page interface {
	GetObjects() []string
	GetConditional() []uint32
}

func appendFound(ids []string, p page, kind string) ([]string, error) {
	if n := len(p.GetConditional()); n > 0 {
		return nil, fmt.Errorf("%d of the objects are conditional", n)
	}
	ids = slices.Grow(ids, len(p.GetObjects()))
	for _, o := range p.GetObjects() {
		id, err := idOf(o, kind)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

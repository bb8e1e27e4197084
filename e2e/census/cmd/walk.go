package main

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-iam/meridian/e2e/census"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// page reads a page of a list: the ids of its items, and the cursor after it.
type page func(ctx context.Context, cursor string, size int) (ids []string, next string, err error)

// walk reads the lists from end to end, and keeps cursors that lead into them.
func (m *measurer) walk(ctx context.Context) (walks []census.Walk, err error) {
	walked := func(call string, want int, read page) ([]string, error) {
		w, cursors, err := through(ctx, call, want, read)
		walks = append(walks, w)
		return cursors, err
	}
	all, err := walked("ListUsers", len(m.p.users)+len(m.users)+m.extraUsers, m.pageOfUsers)
	if err != nil {
		return nil, err
	}
	if m.userTail, err = tail(ctx, all, walks[0].Items, m.pageOfUsers); err != nil {
		return nil, err
	}
	m.userCursors = middle(all)
	if all, err = walked("ListOrganizations", 1+len(m.p.organizations)+len(m.organizations)+m.extraOrganizations, m.pageOfOrganizations); err != nil {
		return nil, err
	}
	m.organizationCursors = middle(all)
	if all, err = walked("ListMembers", m.p.joined+m.joined, m.pageOfMembers); err != nil {
		return nil, err
	}
	m.memberCursors = middle(all)
	return walks, nil
}

// through reads a list, which must have so many items, each once.
func through(ctx context.Context, call string, want int, read page) (w census.Walk, cursors []string, err error) {
	began, seen := time.Now(), make(map[string]struct{}, want)
	w.Call = call
	for cursor := ""; ; {
		ids, next, err := read(ctx, cursor, walkSize)
		if err != nil {
			return w, nil, fmt.Errorf("%s, page %d: %w", call, w.Pages, err)
		}
		for _, id := range ids {
			seen[id] = struct{}{}
		}
		w.Items += len(ids)
		w.Pages++
		if cursor = next; cursor == "" {
			break
		}
		cursors = append(cursors, cursor)
	}
	w.Seconds = time.Since(began).Seconds()
	if len(seen) != want || w.Items != want {
		return w, nil, fmt.Errorf("%s: %d items, %d of them different, in %d pages: there are %d", call, w.Items, len(seen), w.Pages, want)
	}
	return w, cursors, nil
}

// tail returns the cursor before the last page of the standard size.
func tail(ctx context.Context, cursors []string, items int, read page) (string, error) {
	pages, rest := census.Tail(items, walkSize, pageSize)
	cursor := ""
	if pages > 0 {
		cursor = cursors[pages-1]
	}
	if rest == 0 {
		return cursor, nil
	}
	_, next, err := read(ctx, cursor, rest)
	return next, err
}

func (m *measurer) pageOfUsers(ctx context.Context, cursor string, size int) (ids []string, next string, err error) {
	answer, err := m.d.client.Users.ListUsers(ctx, &identityv1.ListUsersRequest{Cursor: cursor, PageSize: uint32(size)})
	for _, u := range answer.GetUsers() {
		ids = append(ids, u.GetId())
	}
	return ids, answer.GetNextCursor(), err
}

func (m *measurer) pageOfOrganizations(ctx context.Context, cursor string, size int) (ids []string, next string, err error) {
	answer, err := m.d.client.Organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{
		Cursor: cursor, PageSize: uint32(size),
	})
	for _, o := range answer.GetOrganizations() {
		ids = append(ids, o.GetId())
	}
	return ids, answer.GetNextCursor(), err
}

func (m *measurer) pageOfMembers(ctx context.Context, cursor string, size int) (ids []string, next string, err error) {
	answer, err := m.d.client.Memberships.ListMembers(ctx, &identityv1.ListMembersRequest{
		Organization: m.p.large, Cursor: cursor, PageSize: uint32(size),
	})
	for _, member := range answer.GetMemberships() {
		ids = append(ids, member.GetUser())
	}
	return ids, answer.GetNextCursor(), err
}

package rpc

import (
	"bytes"
	"context"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// maxScanned is how many rows one page of a list looks at. A page that few of
	// them match is short, or empty, and has a next cursor all the same: what it
	// costs does not depend on what there is.
	maxScanned = 1_000
	// scanned is how many are read at a time, beyond the size of the page.
	scanned = 100
)

// scan returns a page of up to size items that keep wants, in the order of list,
// which reads up to limit items after a position; and the position to go on from, ""
// at the end.
func scan[T any](
	after string, size int, list func(after string, limit int) ([]T, error), position func(T) string, keep func(T) bool,
) (items []T, next string, err error) {
	for seen := 0; seen < maxScanned; {
		limit := min(size-len(items)+scanned, maxScanned-seen)
		batch, err := list(after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, item := range batch {
			after = position(item)
			if !keep(item) {
				continue
			}
			if items = append(items, item); len(items) == size {
				return items, after, nil
			}
		}
		if len(batch) < limit {
			return items, "", nil
		}
		seen += len(batch)
	}
	return items, after, nil
}

// search returns a page of up to size of what find knows of users whose names have,
// for each word of a text, a word that begins with it: in the order of the words
// that the longest of them finds. after is a position that search returned, or "".
// The position to go on from is "" at the end.
//
// Errors: INVALID_FIELD (field "cursor") for a position that is none.
func search[T any](
	ctx context.Context, q sqldb.Querier, scope, text, after string, size int,
	find func(ctx context.Context, q sqldb.Querier, users []string) (map[string]T, error),
) (items []T, next string, err error) {
	keys := displayname.Keys(text)
	if len(keys) == 0 {
		return nil, "", nil
	}
	at, err := hitAt(after)
	if err != nil {
		return nil, "", err
	}
	drive := longest(keys)
	for seen := 0; seen < maxScanned; {
		limit := min(size-len(items)+scanned, maxScanned-seen)
		batch, err := store.Search(ctx, q, scope, drive, at, limit)
		if err != nil {
			return nil, "", err
		}
		found, err := matching(ctx, q, scope, batch, drive, keys, find)
		if err != nil {
			return nil, "", err
		}
		for i, hit := range batch {
			at = hit
			if found[i] == nil {
				continue
			}
			if items = append(items, *found[i]); len(items) == size {
				return items, positionOf(hit), nil
			}
		}
		if len(batch) < limit {
			return items, "", nil
		}
		seen += len(batch)
	}
	return items, positionOf(at), nil
}

// matching returns what find knows of each hit's user; nil for a hit that is not the
// user's first, and for a user whose name lacks one of the keys.
func matching[T any](
	ctx context.Context, q sqldb.Querier, scope string, hits []store.Hit, drive []byte, keys [][]byte,
	find func(ctx context.Context, q sqldb.Querier, users []string) (map[string]T, error),
) ([]*T, error) {
	out := make([]*T, len(hits))
	if len(hits) == 0 {
		return out, nil
	}
	users := make([]string, len(hits))
	for i, h := range hits {
		users[i] = h.User
	}
	words, err := store.SearchedBy(ctx, q, scope, users)
	if err != nil {
		return nil, err
	}
	found, err := find(ctx, q, users)
	if err != nil {
		return nil, err
	}
	for i, h := range hits {
		item, known := found[h.User]
		if known && first(words[h.User], drive, h.Word) && all(words[h.User], keys) {
			out[i] = &item
		}
	}
	return out, nil
}

// first says whether a word is the first of words that begins with a prefix.
func first(words [][]byte, prefix, word []byte) bool {
	for _, w := range words {
		if bytes.HasPrefix(w, prefix) && bytes.Compare(w, word) < 0 {
			return false
		}
	}
	return true
}

// all says whether each key is the beginning of one of the words.
func all(words, keys [][]byte) bool {
	for _, key := range keys {
		found := false
		for _, w := range words {
			found = found || bytes.HasPrefix(w, key)
		}
		if !found {
			return false
		}
	}
	return true
}

func longest(keys [][]byte) []byte {
	longest := keys[0]
	for _, key := range keys[1:] {
		if len(key) > len(longest) {
			longest = key
		}
	}
	return longest
}

// positionOf is a hit as a cursor holds it: words have no spaces.
func positionOf(h store.Hit) string { return string(h.Word) + " " + h.User }

func hitAt(position string) (store.Hit, error) {
	if position == "" {
		return store.Hit{}, nil
	}
	word, userID, found := strings.Cut(position, " ")
	if !found || userID == "" {
		return store.Hit{}, fault.Field("cursor", "cursor", "is not a cursor of this list; start again without one")
	}
	return store.Hit{Word: []byte(word), User: userID}, nil
}

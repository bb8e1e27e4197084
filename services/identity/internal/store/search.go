package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

// everybody is the scope of all users; the other scopes are organizations.
const everybody = ""

// words are what a name is searched by.
func words(name string) [][]byte { return displayname.Keys(name) }

// queueWords makes a user be found in scopes by words. Scopes that have the words
// keep them.
func queueWords(batch *pgx.Batch, u User, scopes []string, words [][]byte) {
	if len(scopes) == 0 || len(words) == 0 {
		return
	}
	batch.Queue(`INSERT INTO identity.search_words (scope, word, user_id, home_region)
		SELECT s.scope, w.word, $3, $4 FROM unnest($1::TEXT[]) AS s (scope), unnest($2::BYTEA[]) AS w (word)
		ON CONFLICT (scope, word, user_id) DO NOTHING`, scopes, words, u.ID, u.HomeRegion)
}

// queueForget makes users be found in a scope no more, by the index
// search_words_user.
func queueForget(batch *pgx.Batch, scope, userID string) {
	batch.Queue(`DELETE FROM identity.search_words WHERE user_id = $1 AND scope = $2`, userID, scope)
}

// changeWords writes the words of a user's name, which had others before, in every
// scope.
func changeWords(ctx context.Context, tx pgx.Tx, u User, before [][]byte) error {
	after := words(u.Name)
	memberships, err := ListUserMemberships(ctx, tx, u.ID, "", maxScopes)
	if err != nil {
		return fmt.Errorf("read scopes: %w", err)
	}
	scopes := []string{everybody}
	for _, m := range memberships {
		scopes = append(scopes, m.Organization)
	}
	batch := &pgx.Batch{}
	if gone := without(before, after); len(gone) > 0 {
		batch.Queue(`DELETE FROM identity.search_words WHERE user_id = $1 AND scope = ANY($2) AND word = ANY($3)`, u.ID, scopes, gone)
	}
	queueWords(batch, u, scopes, without(after, before))
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("change words: %w", err)
	}
	return nil
}

// maxScopes is more than the organizations of any user.
const maxScopes = 1_000

func without(words, others [][]byte) (left [][]byte) {
	for _, w := range words {
		if !contains(others, w) {
			left = append(left, w)
		}
	}
	return left
}

func contains(words [][]byte, word []byte) bool {
	for _, w := range words {
		if bytes.Equal(w, word) {
			return true
		}
	}
	return false
}

// Hit is a word of a user's name that a search found.
type Hit struct {
	Word []byte
	User string
}

// Search reads up to limit hits of a scope ("": all users) for words that begin with
// a prefix, in the order of word and user, after one of them; with the zero Hit from
// the first on. It reads a range of the primary key.
func Search(ctx context.Context, q sqldb.Querier, scope string, prefix []byte, after Hit, limit int) ([]Hit, error) {
	if after.User == "" {
		after.Word = prefix
	}
	rows, err := q.Query(ctx, `SELECT word, user_id FROM identity.search_words
		WHERE scope = $1 AND (word, user_id) > ($2, $3) AND word < $4 ORDER BY word, user_id LIMIT $5`,
		scope, after.Word, after.User, end(prefix), limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	hits, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Hit, err error) {
		err = row.Scan(&h.Word, &h.User)
		return h, err
	})
	return hits, sqldb.Unavailable(err)
}

// end is the first text after all that begin with a prefix, which is UTF-8 and so
// has no byte 0xFF.
func end(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return end
}

// SearchedBy reads what users are found by in a scope, by the index
// search_words_user, in no order.
//
// The pairs keep PostgreSQL to that index. With the scope alone beside the array, a
// plan for all scopes, most of which have few words, reads all words of this one by
// the primary key: for a search among all users those of everybody.
func SearchedBy(ctx context.Context, q sqldb.Querier, scope string, userIDs []string) (map[string][][]byte, error) {
	rows, err := q.Query(ctx, `SELECT user_id, word FROM identity.search_words
		WHERE (user_id, scope) IN (SELECT unnest($1::TEXT[]), $2::TEXT)`, userIDs, scope)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	found := make(map[string][][]byte, len(userIDs))
	var (
		userID string
		word   []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&userID, &word}, func() error {
		found[userID] = append(found[userID], word)
		word = nil
		return nil
	})
	return found, sqldb.Unavailable(err)
}

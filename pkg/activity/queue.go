package activity

import (
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/id"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
)

// maxWaiting is how many records wait at most, some 500 bytes each.
const maxWaiting = 10_000

// waiting is a record that waits to be sent, and its id.
type waiting struct {
	Record

	id string
}

// queue is what waits, oldest first. The zero queue is ready.
type queue struct{ records []waiting }

// push appends a record. lost is how many observations the record stood for that had to
// go for it.
func (q *queue) push(r Record) (lost uint64) {
	if len(q.records) == maxWaiting {
		lost, q.records = q.records[0].Count, q.records[1:]
	}
	q.records = append(q.records, waiting{Record: r})
	return lost
}

// take takes the oldest.
func (q *queue) take() (w waiting, ok bool) {
	if len(q.records) == 0 {
		return waiting{}, false
	}
	w, q.records = q.records[0], q.records[1:]
	if w.id == "" {
		w.id = id.New(id.Activity) // once, so that the bus knows a repeat
	}
	return w, true
}

// putBack puts back what was taken and not sent. It is lost where others have its place
// by now.
func (q *queue) putBack(w waiting) (lost uint64) {
	if len(q.records) == maxWaiting {
		return w.Count
	}
	q.records = slices.Insert(q.records, 0, w)
	return 0
}

// drop empties the queue, and says how many observations were in it.
func (q *queue) drop() (lost uint64) {
	for _, w := range q.records {
		lost += w.Count
	}
	q.records = nil
	return lost
}

// kindName is the last part of a subject: RequestRefused for
// ACTIVITY_KIND_REQUEST_REFUSED.
func kindName(kind auditv1.ActivityKind) string {
	var name strings.Builder
	for word := range strings.SplitSeq(strings.TrimPrefix(kind.String(), "ACTIVITY_KIND_"), "_") {
		if word != "" {
			name.WriteString(word[:1] + strings.ToLower(word[1:]))
		}
	}
	return name.String()
}

package relcsv

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Writer writes relationships as Reader reads them, with all columns.
type Writer struct{ csv *csv.Writer }

// NewWriter writes the header.
func NewWriter(w io.Writer) (*Writer, error) {
	out := &Writer{csv: csv.NewWriter(w)}
	return out, out.csv.Write(slices.Concat(Header, Terms))
}

// Write writes relationships.
func (w *Writer) Write(relationships []*authzv1.Relationship) error {
	for _, r := range relationships {
		resourceType, resourceID, _ := strings.Cut(r.GetResource(), ":")
		object, set, _ := strings.Cut(r.GetSubject(), "#")
		subjectType, subjectID, _ := strings.Cut(object, ":")
		values, err := Context(r.GetCondition())
		if err != nil {
			return err
		}
		err = w.csv.Write([]string{
			resourceType, resourceID, r.GetRelation(), subjectType, subjectID, set, r.GetCondition().GetName(), values, Expires(r),
		})
		if err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	w.csv.Flush()
	return w.csv.Error()
}

// Context is a condition's parameters as a JSON object, empty for none.
func Context(c *authzv1.Condition) (string, error) {
	if len(c.GetContext().GetFields()) == 0 {
		return "", nil
	}
	text, err := json.Marshal(c.GetContext().AsMap())
	if err != nil {
		return "", fmt.Errorf("write context: %w", err)
	}
	return string(text), nil
}

// Expires is a relationship's expiry as an RFC 3339 time, empty for none.
func Expires(r *authzv1.Relationship) string {
	if r.GetExpiresAt() == nil {
		return ""
	}
	return r.GetExpiresAt().AsTime().Format(time.RFC3339)
}

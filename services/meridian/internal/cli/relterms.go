package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/relcsv"
)

// terms are the flags that say under what circumstances a relationship holds.
type terms struct{ condition, context, expires string }

func termsFlags(cmd *cobra.Command) *terms {
	t := &terms{}
	cmd.Flags().StringVar(&t.condition, "condition", "", "name of a condition of the model")
	cmd.Flags().StringVar(&t.context, "context", "", "JSON object of the condition's parameters that are settled")
	cmd.Flags().StringVar(&t.expires, "expires", "", expiresUsage)
	return t
}

// set gives a relationship the terms.
func (t *terms) set(r *authzv1.Relationship) error {
	var err error
	if r.Condition, err = relcsv.Condition(t.condition, t.context); err != nil {
		return fmt.Errorf("--%w", err)
	}
	if t.expires == "" {
		return nil
	}
	at, err := parseExpires(t.expires, time.Now())
	if err != nil {
		return err
	}
	r.ExpiresAt = timestamppb.New(at)
	return nil
}

// expiresUsage describes a flag that parseExpires reads.
const expiresUsage = "how long it holds, as 2h or 30d, or until when, as 2027-01-31T18:00:00Z"

// parseExpires reads a duration from now on, in which d is 24 hours, or a time.
func parseExpires(text string, now time.Time) (time.Time, error) {
	if days, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		d, err2 := time.ParseDuration(first(rest, "0"))
		if err == nil && err2 == nil && n >= 0 && n <= maxDays && d >= 0 {
			return now.Add(time.Duration(n)*24*time.Hour + d), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--expires: %q is neither a duration as 2h or 30d nor a time as 2027-01-31T18:00:00Z", text)
	}
	return at, nil
}

// maxDays is a hundred years.
const maxDays = 36500

// termsText is the terms for people, empty for none.
func termsText(r *authzv1.Relationship) string {
	var parts []string
	if name := r.GetCondition().GetName(); name != "" {
		parts = append(parts, "if "+name)
		if values, err := relcsv.Context(r.GetCondition()); err == nil && values != "" {
			parts = append(parts, values)
		}
	}
	if at := relcsv.Expires(r); at != "" {
		parts = append(parts, "until "+at)
	}
	return strings.Join(parts, " ")
}

// filterFlags are the flags that choose relationships.
func filterFlags(cmd *cobra.Command) *authzv1.RelationshipFilter {
	filter := &authzv1.RelationshipFilter{}
	cmd.Flags().StringVar(&filter.Resource, "resource", "", "type:id or type")
	cmd.Flags().StringVar(&filter.Relation, "relation", "", "relation")
	cmd.Flags().StringVar(&filter.Subject, "subject", "", "type:id, type:*, type:id#relation or type")
	return filter
}

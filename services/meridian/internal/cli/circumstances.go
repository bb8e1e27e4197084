package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// circumstancesFlags adds the flags that say under what a question is asked.
func circumstancesFlags(cmd *cobra.Command) func() (*authzv1.Circumstances, error) {
	values := cmd.Flags().String("context", "", `values of parameters of conditions, a JSON object as '{"ip": "10.0.0.7"}'`)
	with := cmd.Flags().StringArray("with", nil, "a relationship that holds for this question only (may be repeated)")
	return func() (*authzv1.Circumstances, error) {
		if *values == "" && len(*with) == 0 {
			return nil, nil
		}
		out := &authzv1.Circumstances{}
		if *values != "" {
			var given map[string]any
			if err := json.Unmarshal([]byte(*values), &given); err != nil {
				return nil, fmt.Errorf("--context: is not a JSON object: %w", err)
			}
			var err error
			if out.Context, err = structpb.NewStruct(given); err != nil {
				return nil, fmt.Errorf("--context: %w", err)
			}
		}
		for _, text := range *with {
			r, err := parseRelationship(text)
			if err != nil {
				return nil, fmt.Errorf("--with: %w", err)
			}
			out.Relationships = append(out.Relationships, r)
		}
		return out, nil
	}
}

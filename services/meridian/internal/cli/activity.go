package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
)

func (a *App) activity() *cobra.Command {
	cmd := &cobra.Command{
		Use: "activity", GroupID: "manage", Args: cobra.NoArgs, Short: "What the OpenID provider refused, and why, newest first",
		Long: "Lists what the OpenID provider of the region refused, newest first. What is the same within a\n" +
			"minute is counted, and is there when the minute is over. With --organization, of its clients only.",
		Example: `  meridian activity
  meridian activity --since 24h --client cli_…
  meridian activity --error invalid_client --json | jq -r .client | sort | uniq -c`,
	}
	since := cmd.Flags().Duration("since", time.Hour, "how far back, as 24h; 0 is all that is kept")
	client := cmd.Flags().String("client", "", "of this client or trust only")
	code := cmd.Flags().String("error", "", "with this code only, as invalid_client")
	limit, told := a.limitFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *since < 0 {
			return fmt.Errorf("--since %s: must not be negative", *since)
		}
		api, err := a.client()
		if err != nil {
			return err
		}
		req := &auditv1.ListActivityRequest{Client: *client, Error: *code, PageSize: pageFor(*limit)}
		if cmd.Flags().Changed("organization") { // not the one that other commands work on
			req.Organization = a.organization
		}
		if *since > 0 {
			req.Since = timestamppb.New(time.Now().Add(-*since))
		}
		more, err := list(a, []string{"LAST", "TIMES", "ERROR", "CLIENT", "ENDPOINT", "WHY"}, *limit,
			func(cursor string) ([]*auditv1.Activity, string, error) {
				req.Cursor = cursor
				answer, err := api.Activity.ListActivity(cmd.Context(), req)
				return answer.GetActivities(), answer.GetNextCursor(), err
			},
			func(r *auditv1.Activity) []string {
				return []string{
					timeText(r.GetLastTime()), strconv.FormatUint(r.GetCount(), 10), r.GetError(), first(r.GetClient(), "-"), r.GetEndpoint(),
					first(r.GetDescription(), "-"),
				}
			})
		told(more)
		return err
	}
	return cmd
}

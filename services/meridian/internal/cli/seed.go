package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/services/meridian/internal/madeup"
)

func (a *App) seed() *cobra.Command {
	cmd := &cobra.Command{
		Use: "seed", GroupID: "run", Args: cobra.NoArgs,
		Short: "Fill a deployment with made-up organizations and users, for measurements",
		Long: "Makes organizations and users that do not exist, in parallel, until there are as many as asked\n" +
			"for; the same again makes what is missing. One in 20 users is in two organizations, one in a\n" +
			"hundred in three. A server limits one token to 100 such calls a second, unless limits.manage is more.",
		Example: "  meridian seed --organizations 100 --users 10000\n  meridian seed --organizations 100000 --users 1000000 --parallel 32 --prefix big",
	}
	f := madeup.Fill{}
	cmd.Flags().IntVar(&f.Organizations, "organizations", 10, fmt.Sprintf("organizations, %d at most", madeup.MaxOrganizations))
	cmd.Flags().IntVar(&f.Users, "users", 100, fmt.Sprintf("users, %d at most", madeup.MaxUsers))
	cmd.Flags().StringVar(&f.Prefix, "prefix", "seed", "what slugs and the users' domain begin with")
	parallel := parallelFlag(cmd, 8)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if f.Parallel, err = parallel(); err != nil {
			return err
		}
		if f.Client, err = a.client(); err != nil {
			return err
		}
		began, bars := time.Now(), map[string]*progress{}
		f.Progress = func(what string, done, total int) {
			if bars[what] == nil {
				bars[what] = a.progress(what)
			}
			bars[what].rate(uint64(done), uint64(total), int64(done), what)
		}
		out, err := f.Run(cmd.Context())
		for _, bar := range bars {
			bar.end()
		}
		if err != nil {
			return fmt.Errorf("%d organizations and %d users made (the same again goes on): %w", out.Organizations, out.Users, err)
		}
		took := time.Since(began)
		if a.json {
			return a.printJSON(struct {
				madeup.Outcome

				Seconds float64 `json:"seconds"`
			}{out, took.Seconds()})
		}
		_, err = fmt.Fprintf(a.stdout, "%d organizations made, %d there; %d users made, %d there; %s\n",
			out.Organizations, out.OrganizationsFound, out.Users, out.UsersFound, took.Round(100*time.Millisecond))
		return err
	}
	return cmd
}

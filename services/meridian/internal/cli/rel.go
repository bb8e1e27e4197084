package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/relcsv"
)

func (a *App) rel() *cobra.Command {
	cmd := &cobra.Command{Use: "rel", GroupID: "manage", Short: "Relationships: write, import, read, export, watch"}
	cmd.AddCommand(a.relWrite(), a.relImport(), a.relRead(), a.relExport(), a.relWatch())
	return cmd
}

func (a *App) relWrite() *cobra.Command {
	cmd := &cobra.Command{
		Use: "write RELATIONSHIP...", Args: cobra.MinimumNArgs(1),
		Short: "Write up to 100 relationships in one commit",
		Example: `  meridian rel write 'table:orders#reader@user:zoe'
  meridian rel write --delete 'table:orders#banned@user:mallory'
  meridian rel write --create 'group:data#member@group:interns#member'
  meridian rel write --expires 2h 'table:orders#reader@user:contractor'
  meridian rel write --condition office --context '{"zone":"eu"}' 'table:orders#reader@user:zoe'`,
	}
	create := cmd.Flags().Bool("create", false, "fail when one exists already")
	remove := cmd.Flags().Bool("delete", false, "remove instead of add")
	key := cmd.Flags().String("idempotency-key", "", "repeat a write safely under this key (default: a new one)")
	terms := termsFlags(cmd)
	for _, flag := range []string{"create", "condition", "context", "expires"} {
		cmd.MarkFlagsMutuallyExclusive("delete", flag)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		operation := authzv1.Operation_OPERATION_TOUCH
		switch {
		case *create:
			operation = authzv1.Operation_OPERATION_CREATE
		case *remove:
			operation = authzv1.Operation_OPERATION_DELETE
		}
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		req := &authzv1.WriteRelationshipsRequest{Organization: organization, IdempotencyKey: first(*key, newKey())}
		for _, text := range args {
			r, err := parseRelationship(text)
			if err != nil {
				return err
			}
			if err := terms.set(r); err != nil {
				return err
			}
			req.Updates = append(req.Updates, &authzv1.RelationshipUpdate{Operation: operation, Relationship: r})
		}
		answer, err := client.Relationships.WriteRelationships(cmd.Context(), req)
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		for i, effect := range answer.GetEffects() {
			fmt.Fprintf(a.stdout, "%-*s %s\n", doneWidth, strings.ToLower(strings.TrimPrefix(effect.String(), "EFFECT_")), args[i])
		}
		_, err = fmt.Fprintf(a.stdout, "%-*s %s\n", doneWidth, "revision", answer.GetRevision())
		return err
	}
	return cmd
}

// parseRelationship reads resource#relation@subject.
func parseRelationship(text string) (*authzv1.Relationship, error) {
	resource, rest, ok := strings.Cut(text, "#")
	relation, subject, ok2 := strings.Cut(rest, "@")
	if !ok || !ok2 {
		return nil, fmt.Errorf("%q is not a relationship: write type:id#relation@subject, as table:orders#reader@user:zoe", text)
	}
	return &authzv1.Relationship{Resource: resource, Relation: relation, Subject: subject}, nil
}

func (a *App) relImport() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Args: cobra.ExactArgs(1),
		Short: "Import relationships from CSV",
		Long: "Touches every relationship of a CSV file with the header\n" + strings.Join(relcsv.Header, ",") +
			"\nand, after it, any of " + strings.Join(relcsv.Terms, ",") + ": a condition's name,\na JSON object of its parameters, and a time as 2027-01-31T18:00:00Z; each may be empty.\n" +
			"Commits as it goes; importing a file again changes nothing. - reads standard input.",
		Example: `  meridian rel import tuples.csv
  zcat tuples.csv.gz | meridian rel import -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			from, size := a.stdin, int64(0)
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close() //nolint:errcheck // only read
				if info, err := f.Stat(); err == nil {
					size = info.Size()
				}
				from = f
			}
			counted := &countingReader{r: from}
			bar := a.progress("importing")
			answer, err := relcsv.Import(cmd.Context(), client, organization, counted, func(sent int) {
				if size > 0 {
					bar.set(uint64(counted.read.Load()), uint64(size))
				} else {
					bar.set(uint64(sent), 0)
				}
			})
			bar.end()
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			fmt.Fprintf(a.stdout, "%d created, %d updated, %d unchanged\n", answer.GetCreated(), answer.GetUpdated(), answer.GetUnchanged())
			if answer.GetRevision() != "" { // nothing was sent
				fmt.Fprintf(a.stdout, "%-*s %s\n", doneWidth, "revision", answer.GetRevision())
			}
			return nil
		},
	}
}

// countingReader counts what was read, for a progress bar.
type countingReader struct {
	r    io.Reader
	read atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (a *App) relRead() *cobra.Command {
	cmd := &cobra.Command{
		Use: "read", Args: cobra.NoArgs,
		Short: "List relationships",
		Example: `  meridian rel read --resource table:orders
  meridian rel read --subject user:anna
  meridian rel read --resource service --relation viewer --limit 20`,
	}
	filter := filterFlags(cmd)
	limit := cmd.Flags().Uint32("limit", 100, "how many at most")
	freshness := freshnessFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		req := &authzv1.ReadRelationshipsRequest{Organization: organization, Filter: filter, Freshness: freshness(), PageSize: min(*limit, 1000)}
		more, err := list(a, []string{"RESOURCE", "RELATION", "SUBJECT", "TERMS"}, int(*limit),
			func(cursor string) ([]*authzv1.Relationship, string, error) {
				req.Cursor = cursor
				answer, err := client.Relationships.ReadRelationships(cmd.Context(), req)
				return answer.GetRelationships(), answer.GetNextCursor(), err
			},
			func(r *authzv1.Relationship) []string {
				return []string{r.GetResource(), r.GetRelation(), r.GetSubject(), termsText(r)}
			})
		if err == nil && more && !a.json {
			fmt.Fprintf(a.stderr, "there are more than %d; raise --limit to see them\n", *limit)
		}
		return err
	}
	return cmd
}

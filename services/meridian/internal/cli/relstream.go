package cli

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/relcsv"
)

func (a *App) relExport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Args: cobra.NoArgs,
		Short: "Print all relationships as CSV",
		Long: "Prints the relationships at one revision, in no order, as CSV that `rel import` reads;\n" +
			"with --json one line of JSON each, and a last line that says at which revision.",
		Example: `  meridian rel export > tuples.csv
  meridian rel export --resource table --fully-consistent
  meridian rel export --json | tail -1 | jq .evaluated_at.revision`,
	}
	filter, freshness := filterFlags(cmd), freshnessFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		stream, err := client.Relationships.ExportRelationships(cmd.Context(), &authzv1.ExportRelationshipsRequest{
			Organization: organization, Filter: filter, Freshness: freshness(),
		})
		if err != nil {
			return err
		}
		defer stream.Close() //nolint:errcheck // read to its end
		var last *authzv1.ExportRelationshipsResponse
		write := a.exported()
		for stream.Receive() {
			last = stream.Msg()
			if err := write(last.GetRelationships()); err != nil {
				return err
			}
		}
		switch {
		case stream.Err() != nil:
			return stream.Err()
		case !last.GetComplete():
			return errors.New("the export was cut off; what was printed is not all")
		}
		if a.json {
			return a.printMessage(&authzv1.ExportRelationshipsResponse{Complete: true, EvaluatedAt: last.GetEvaluatedAt()})
		}
		return nil
	}
	return cmd
}

// exported returns what prints relationships: CSV, or lines of JSON.
func (a *App) exported() func([]*authzv1.Relationship) error {
	if a.json {
		return func(relationships []*authzv1.Relationship) error {
			for _, r := range relationships {
				if err := a.printMessage(r); err != nil {
					return err
				}
			}
			return nil
		}
	}
	buffered := bufio.NewWriterSize(a.stdout, 64<<10)
	var out *relcsv.Writer
	return func(relationships []*authzv1.Relationship) error {
		var err error
		if out == nil {
			if out, err = relcsv.NewWriter(buffered); err != nil {
				return err
			}
		}
		if err := out.Write(relationships); err != nil {
			return err
		}
		return buffered.Flush()
	}
}

func (a *App) relWatch() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch", Args: cobra.NoArgs,
		Short: "Print changes of relationships as they come",
		Long: "Prints every change after a revision (default: from now on), in order, and goes on when the\n" +
			"connection breaks. With --json one line for each message, with revisions and checkpoints.",
		Example: `  meridian rel watch
  meridian rel watch --resource table:orders
  meridian rel watch --after "$REVISION" --json`,
	}
	filter := filterFlags(cmd)
	after := cmd.Flags().String("after", "", "revision token: print what changed after it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		req := &authzv1.WatchRequest{Organization: organization, After: *after}
		if filter.GetResource()+filter.GetRelation()+filter.GetSubject() != "" {
			req.Filters = []*authzv1.RelationshipFilter{filter}
		}
		err = client.Watch(cmd.Context(), req, a.watched)
		reset, far := errors.AsType[*meridian.ResetError](err)
		switch {
		case cmd.Context().Err() != nil:
			return nil //nolint:nilerr // the user ended it
		case far:
			return fmt.Errorf("--after: %w; the oldest is %s", err, reset.Oldest)
		}
		return err
	}
	return cmd
}

// watched prints one message of a watch.
func (a *App) watched(message *authzv1.WatchResponse) error {
	if a.json {
		return a.printMessage(message)
	}
	at := message.GetChanges().GetTime().AsTime().Format(time.RFC3339)
	for _, c := range message.GetChanges().GetChanges() {
		r := c.GetRelationship()
		kind := strings.ToLower(strings.TrimPrefix(c.GetKind().String(), "WATCH_KIND_"))
		line := fmt.Sprintf("%s  %-7s  %s#%s@%s  %s", at, kind, r.GetResource(), r.GetRelation(), r.GetSubject(), termsText(r))
		if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

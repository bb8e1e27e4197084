package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) domain() *cobra.Command {
	cmd := &cobra.Command{Use: "domain", GroupID: "manage", Short: "Email domains that an organization proves to own: add, verify, list, show, lookup, remove"}
	cmd.AddCommand(a.domainAdd(), a.domainVerify(), a.domainList(), a.domainShow(), a.domainLookup(), a.domainRemove())
	return cmd
}

func (a *App) domainLookup() *cobra.Command {
	return &cobra.Command{
		Use: "lookup NAME", Args: cobra.ExactArgs(1), Short: "List the organizations that have proved a domain",
		Example: "  meridian domain lookup acme.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			_, err = list(a, []string{"ORGANIZATION", "SLUG", "NAME"}, 0,
				func(string) ([]*identityv1.DomainOrganization, string, error) {
					answer, err := client.Domains.LookUpDomain(cmd.Context(), &identityv1.LookUpDomainRequest{Name: args[0]})
					return answer.GetOrganizations(), "", err
				},
				func(o *identityv1.DomainOrganization) []string {
					return []string{o.GetOrganization(), o.GetSlug(), o.GetName()}
				})
			return err
		},
	}
}

func domainText(d *identityv1.Domain) string {
	return words(d.GetId(), d.GetName(), enumWord(d.GetState()))
}

func (a *App) domainAdd() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "add NAME", Args: cobra.ExactArgs(1), Short: "Start to prove a domain: prints the record for its DNS zone",
		Example: "  meridian domain add acme.example",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Domains.AddDomain(ctx, &identityv1.AddDomainRequest{
			Organization: organization, Name: args[0], IdempotencyKey: newKey(),
		})
		if err := a.did(answer, err, "added", domainText(answer.GetDomain())); err != nil || a.json {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "\nPut this record into its DNS zone, then run: meridian domain verify %s\n\n%s\n",
			answer.GetDomain().GetName(), zoneLine(answer.GetDomain()))
		return err
	})
}

// zoneLine is the record that proves a domain as a line of a zone file (RFC 1035,
// section 5.1), empty for none.
func zoneLine(d *identityv1.Domain) string {
	if d.GetRecordName() == "" {
		return ""
	}
	return fmt.Sprintf("%s. 300 IN TXT %s", strings.TrimSuffix(d.GetRecordName(), "."), characterStrings(d.GetRecordValue()))
}

// characterStrings writes a text as the strings of a TXT record: 255 bytes each.
func characterStrings(text string) string {
	const most = 255
	var out strings.Builder
	for begun := false; !begun || text != ""; begun = true {
		n := min(len(text), most)
		if begun {
			out.WriteByte(' ')
		}
		out.WriteByte('"')
		for i := range n {
			switch c := text[i]; {
			case c == '"' || c == '\\':
				out.WriteByte('\\')
				out.WriteByte(c)
			case c < ' ' || c > '~':
				fmt.Fprintf(&out, "\\%03d", c)
			default:
				out.WriteByte(c)
			}
		}
		out.WriteByte('"')
		text = text[n:]
	}
	return out.String()
}

// ofDomain is inside for commands whose first argument is a domain, by id or
// name.
func (a *App) ofDomain(
	cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, organization, domain string, args []string) error,
) *cobra.Command {
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		domain, err := domainID(ctx, client, organization, args[0])
		if err != nil {
			return err
		}
		return do(ctx, client, organization, domain, args)
	})
}

func (a *App) domainVerify() *cobra.Command {
	return a.ofDomain(&cobra.Command{
		Use: "verify DOMAIN", Args: cobra.ExactArgs(1), Short: "Look for the record now: exit code 0 when it is there, 1 when not",
		Example: "  meridian domain verify acme.example",
	}, func(ctx context.Context, client *meridian.Client, organization, domain string, args []string) error {
		answer, err := client.Domains.VerifyDomain(ctx, &identityv1.VerifyDomainRequest{
			Organization: organization, Domain: domain, IdempotencyKey: newKey(),
		})
		if !meridian.Is(err, commonv1.Reason_DOMAIN_NOT_PROVEN) {
			return a.did(answer, err, enumWord(answer.GetDomain().GetState()), words(answer.GetDomain().GetId(), answer.GetDomain().GetName()))
		}
		if a.json {
			err = a.printJSON(map[string]string{"domain": domain, "reason": commonv1.Reason_DOMAIN_NOT_PROVEN.String(), "detail": describe(err)})
		} else {
			_, err = fmt.Fprintf(a.stdout, "not proven %s: %s\n", args[0], describe(err))
		}
		if err != nil {
			return err
		}
		return errNo
	})
}

func (a *App) domainList() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List domains by name",
		Example: "  meridian domain list",
	}, func(ctx context.Context, client *meridian.Client, organization string, _ []string) error {
		request := &identityv1.ListDomainsRequest{Organization: organization, PageSize: identityPage}
		_, err := list(a, []string{"DOMAIN", "NAME", "STATE", "CHECKED"}, 0,
			func(cursor string) ([]*identityv1.Domain, string, error) {
				request.Cursor = cursor
				answer, err := client.Domains.ListDomains(ctx, request)
				return answer.GetDomains(), answer.GetNextCursor(), err
			},
			func(d *identityv1.Domain) []string {
				return []string{d.GetId(), d.GetName(), enumWord(d.GetState()), first(timeText(d.GetCheckedAt()), "never")}
			})
		return err
	})
}

func (a *App) domainShow() *cobra.Command {
	return a.ofDomain(&cobra.Command{
		Use: "show DOMAIN", Args: cobra.ExactArgs(1), Short: "Print a domain and the record that proves it, by id or name",
		Example: "  meridian domain show acme.example",
	}, func(ctx context.Context, client *meridian.Client, organization, domain string, _ []string) error {
		answer, err := client.Domains.GetDomain(ctx, &identityv1.GetDomainRequest{Organization: organization, Domain: domain})
		d := answer.GetDomain()
		return a.show(answer, err, "domain", d.GetId(), "name", d.GetName(), "organization", d.GetOrganization(), "state", enumWord(d.GetState()),
			"record", zoneLine(d), "created", timeText(d.GetCreatedAt()), "checked", timeText(d.GetCheckedAt()))
	})
}

func (a *App) domainRemove() *cobra.Command {
	return a.ofDomain(&cobra.Command{
		Use: "remove DOMAIN", Args: cobra.ExactArgs(1), Short: "Give a domain up",
		Example: "  meridian domain remove acme.example",
	}, func(ctx context.Context, client *meridian.Client, organization, domain string, args []string) error {
		answer, err := client.Domains.RemoveDomain(ctx, &identityv1.RemoveDomainRequest{
			Organization: organization, Domain: domain, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "removed", args[0])
	})
}

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/services/meridian/internal/dev"
	"github.com/meridian-iam/meridian/services/meridian/internal/topology"
)

func (a *App) dev() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dev", GroupID: "run", Args: cobra.NoArgs,
		Short: "Run everything on this machine, with demo organizations",
		Long: "Starts a database, NATS and all services, publishes the demo model, makes demo organizations\n" +
			"with people, and writes where they are into DIR/dev.json. Everything is kept in DIR:\n" +
			"the same folder again continues. Ctrl-C stops it.",
		Example: "  meridian dev\n  meridian dev --dir /tmp/m --listen 127.0.0.1:0\n" +
			"  meridian dev --regions us-east,eu-west,ap-south",
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:8080", "host:port; port 0 takes a free one")
	regions := cmd.Flags().StringSlice("regions", nil, "run regions, each with its services and NATS as processes, and real delays between them")
	servers := cmd.Flags().Int("nats-servers", 1, "servers of each region's NATS cluster, with --regions: 1 or 3")
	far := cmd.Flags().Duration("database-delay", time.Millisecond, "one-way delay from each region to the database, with --regions")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		began := time.Now()
		dir, err := filepath.Abs(a.dir)
		if err != nil {
			return err
		}
		step := func(text string) { fmt.Fprintf(a.stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), text) }
		options := dev.Options{Dir: dir, Listen: *listen, Step: step}
		if len(*regions) > 0 {
			several := dev.RegionsOptions{Options: options, Regions: *regions, Servers: *servers, DatabaseDelay: *far}
			err = dev.RunRegions(cmd.Context(), several, func(ready dev.Ready, d *topology.Deployment) {
				step("ready")
				a.welcomeRegions(ready, d)
			})
		} else {
			err = dev.Run(cmd.Context(), options, func(ready dev.Ready) {
				step("ready")
				a.welcome(ready, *listen)
			})
		}
		if err == nil {
			step("stopped; the data is in " + a.dir)
		}
		return err
	}
	return cmd
}

func (a *App) welcome(ready dev.Ready, listen string) {
	if a.json {
		// Without the token: what is printed ends up in logs of builds.
		_ = a.printJSON(map[string]any{
			"url": ready.URL, "organization": ready.Organization, "mail": ready.Mail, "pid": ready.PID, "file": filepath.Join(a.dir, "dev.json"),
		})
		return
	}
	me := program(a)
	fmt.Fprintf(a.stdout, `
Meridian is at %s, the demo organization is %s.
Letters arrive at %[5]s.
Try, in another terminal:

  %[3]s check user:anna can_select table:orders
  %[3]s explain user:anna can_select table:salaries
  %[3]s check user:carl can_select table:salaries        # CONDITIONAL: from where?
  %[3]s check user:carl can_select table:salaries --context '{"ip": "10.1.2.3"}'
  %[3]s list objects user:anna can_select table
  %[3]s rel write 'table:orders#reader@user:zoe'
  %[3]s member list
  %[3]s user organizations dana@acme.example
  %[3]s log tail --follow
  %[3]s log verify

  curl -s %[1]s/meridian.authz.v1.CheckService/Check \
    -H "Authorization: Bearer $(jq -r .admin_token %[4]s)" -H 'Content-Type: application/json' \
    -d '{"organization":"%[2]s","subject":"user:anna","permission":"can_select","resource":"table:orders"}'
`, ready.URL, ready.Organization, me, filepath.Join(a.dir, "dev.json"), ready.Mail)
	if !strings.HasSuffix(listen, ":0") { // a public URL must be known before
		fmt.Fprintf(a.stdout, "  curl -s %s/.well-known/authzen-configuration/authzen/%s\n", ready.URL, ready.Organization)
	}
}

func (a *App) welcomeRegions(ready dev.Ready, d *topology.Deployment) {
	if a.json {
		_ = a.printJSON(map[string]any{
			"regions": ready.Regions, "links": ready.Links, "organization": ready.Organization,
			"pid": ready.PID, "file": filepath.Join(a.dir, "dev.json"),
		})
		return
	}
	fmt.Fprintf(a.stdout, "\nMeridian runs in %d regions on %s.\n\n", len(d.Regions), d.Database)
	for i, r := range d.Regions {
		fmt.Fprintf(a.stdout, "  %-12s %s", r.Name, r.URL)
		for _, other := range d.Regions[i+1:] {
			fmt.Fprintf(a.stdout, "   %s %d ms", other.Name, d.Delay(r.Name, other.Name).Milliseconds())
		}
		fmt.Fprintln(a.stdout)
	}
	me := program(a)
	if len(d.Regions) == 1 {
		fmt.Fprintf(a.stdout, "\nThe demo organization is %s. Try:\n\n  %s check user:anna can_select table:orders\n", ready.Organization, me)
		return
	}
	last := d.Regions[len(d.Regions)-1]
	fmt.Fprintf(a.stdout, `
The demo organization, %[2]s, has its home in %[3]s. Write there, read elsewhere:

  %[1]s rel write 'table:orders#reader@user:zoe'
  %[1]s --region %[4]s check user:zoe can_select table:orders --at-least REVISION

The links between the regions are proxies; cut the one that carries events from
%[3]s to %[4]s, and watch the age of answers grow there:

  curl -s -X POST %[5]s/proxies/nats:%[4]s:%[3]s:0/toxics -d '{"name": "cut", "type": "timeout"}'
  curl -s -X DELETE %[5]s/proxies/nats:%[4]s:%[3]s:0/toxics/cut
`, me, ready.Organization, d.Regions[0].Name, last.Name, ready.Links)
}

// program is how whoever reads this called us.
func program(a *App) string {
	me := "meridian"
	if strings.Contains(os.Args[0], "go-build") {
		me = "go run ./services/meridian"
	}
	if a.dir != ".meridian" {
		me += " --dir " + a.dir
	}
	return me
}

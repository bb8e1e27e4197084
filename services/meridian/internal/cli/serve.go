package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/pkg/config"
	"github.com/meridian-iam/meridian/services/meridian/internal/node"
)

func (a *App) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", GroupID: "run", Args: cobra.NoArgs,
		Short:   "Run services from a configuration file",
		Example: "  meridian serve --config /etc/meridian.yaml\n  meridian serve --config /etc/meridian.yaml --services authz",
	}
	path := configFlag(cmd)
	services := cmd.Flags().StringSlice("services", nil, "services to host: identity, authz, sessions, audit, relay (default: as in the file, else all)")
	while := a.withParent(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := while(cmd.Context())
		defer stop()
		return withNode(ctx, *path, *services, func(n *node.Node) error {
			address, err := n.Listen(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "meridian serves on %s\n", address)
			return n.Run(ctx)
		})
	}
	return cmd
}

func configFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().String("config", "", "configuration file (required)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag was just defined
	}
	return path
}

// loadConfig reads a configuration file; MERIDIAN_* variables win over it.
func loadConfig(path string) (node.Config, error) {
	var c node.Config
	if err := config.Load(path, &c); err != nil {
		return c, err
	}
	// What is no setting is another's: the command line's own, Kubernetes'.
	_, err := config.Override(&c, os.Environ())
	return c, err
}

// withNode opens the node that a configuration file describes.
func withNode(ctx context.Context, path string, services []string, fn func(n *node.Node) error) error {
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	if len(services) > 0 {
		c.Services = services
	}
	n, err := node.Open(ctx, c)
	if err != nil {
		return err
	}
	defer n.Close()
	return fn(n)
}

func (a *App) migrate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", GroupID: "run", Args: cobra.NoArgs, Short: "Bring the database's schemas up to date",
		Long:    "Safe to run from many processes at once, and before or after the services start.",
		Example: "  meridian migrate --config /etc/meridian.yaml",
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(*path)
		if err != nil {
			return err
		}
		if err := node.Migrate(cmd.Context(), c); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, "the schemas are up to date")
		return err
	}
	return cmd
}

func (a *App) keys() *cobra.Command {
	return &cobra.Command{
		Use: "keys FOLDER", GroupID: "run", Args: cobra.ExactArgs(1),
		Short:   "Make the key files of a deployment; existing ones are kept",
		Example: "  meridian keys /etc/meridian/keys",
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := node.MakeKeys(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{
					"service_file": keys.ServiceFile, "regional_file": keys.RegionalFile, "blind_file": keys.BlindFile,
				})
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n%s\n%s\n", keys.ServiceFile, keys.RegionalFile, keys.BlindFile)
			return err
		},
	}
}

func (a *App) bootstrap() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bootstrap", GroupID: "run", Args: cobra.NoArgs, Short: "Make the platform's first admin token",
		Long:    "Writes to the database directly, so whoever has the configuration can. The secret is shown once.",
		Example: "  (umask 077; meridian bootstrap --config /etc/meridian.yaml > admin.token)",
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withNode(cmd.Context(), *path, nil, func(n *node.Node) error {
			token, err := n.Bootstrap(cmd.Context(), "bootstrap", 0)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"secret": token.Reveal()})
			}
			_, err = fmt.Fprintln(a.stdout, token.Reveal())
			return err
		})
	}
	return cmd
}

// commit is what the program was built from; empty when the build does not say.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

func (a *App) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Args: cobra.NoArgs, Short: "Print the version",
		Example: "  meridian version --json",
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": "development", "go": runtime.Version(), "commit": commit()}
			if a.json {
				return a.printJSON(v)
			}
			_, err := fmt.Fprintf(a.stdout, "meridian %s %s %s\n", v["version"], v["commit"], v["go"])
			return err
		},
	}
}

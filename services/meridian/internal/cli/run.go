// Package cli is the command line of Meridian.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, for scripts.
const (
	exitOK    = 0
	exitNo    = 1 // the answer is no: a deny, a difference, a model that does not compile
	exitError = 2 // there is no answer
)

// errNo ends a command whose answer is no. It prints nothing more.
var errNo = errors.New("no")

// App is what all commands share.
type App struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	url          string
	tokenFile    string
	dir          string
	region       string
	organization string
	json         bool

	// understood says that flags and arguments are in order: an error after
	// that is not one of typing.
	understood bool
}

// Run runs the command line and returns the exit code.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := &App{stdin: stdin, stdout: stdout, stderr: stderr}
	root := app.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo):
		return exitNo
	case !app.understood:
		fmt.Fprintf(stderr, "meridian: %v\nSee %s --help\n", err, cmd.CommandPath())
		return exitError
	default:
		fmt.Fprintln(stderr, "meridian:", describe(err))
		return exitError
	}
}

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "meridian",
		Short: "One customer identity for every product",
		Long: `Meridian keeps who the customers are, what they may do, and what happened,
in one event log, and answers "may this user do this here?" from memory.

Start with:  meridian dev

Exit codes: 0 yes or done · 1 the answer is no · 2 no answer`,
		SilenceUsage:  true,
		SilenceErrors: true,

		PersistentPreRun: func(*cobra.Command, []string) { a.understood = true },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", os.Getenv("MERIDIAN_URL"), "where Meridian is (MERIDIAN_URL; default: the running 'meridian dev')")
	flags.StringVar(&a.tokenFile, "token-file", os.Getenv("MERIDIAN_TOKEN_FILE"), "file with the API token (MERIDIAN_TOKEN_FILE, or the token itself in MERIDIAN_TOKEN)")
	flags.StringVar(&a.dir, "dir", ".meridian", "folder of 'meridian dev'")
	flags.StringVar(&a.region, "region", "", "region of 'meridian dev --regions' to call (default: the first)")
	flags.StringVarP(&a.organization, "organization", "o", os.Getenv("MERIDIAN_ORGANIZATION"), "organization id (MERIDIAN_ORGANIZATION; default: the demo organization)")
	flags.BoolVar(&a.json, "json", false, "print JSON for machines")
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "ask", Title: "Ask:"},
		&cobra.Group{ID: "manage", Title: "Manage:"},
	)
	root.AddCommand(
		a.dev(), a.drill(), a.seed(), a.serve(), a.nats(), a.migrate(), a.keys(), a.bootstrap(), a.ready(),
		a.check(), a.explain(), noun(a.lists()), a.expand(),
		noun(a.model()), noun(a.rel()), noun(a.role()), noun(a.log()),
		noun(a.org()), noun(a.user()), noun(a.member()), noun(a.group()), noun(a.serviceAccount()), noun(a.token()),
		noun(a.oauthClient()), noun(a.trust()), noun(a.session()), noun(a.signingKey()), a.activity(),
		noun(a.invite()), noun(a.domain()), noun(a.credential()), noun(a.source()), noun(a.identity()),
		a.version(),
	)
	return root
}

// noun makes a command that only groups others refuse to be called itself, and
// others that do not exist.
func noun(cmd *cobra.Command) *cobra.Command {
	var verbs []string
	for _, under := range cmd.Commands() {
		verbs = append(verbs, under.Name())
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s what? %s", cmd.CommandPath(), strings.Join(verbs, ", "))
		}
		return fmt.Errorf("unknown command %q for %q; there are %s", args[0], cmd.CommandPath(), strings.Join(verbs, ", "))
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // Args refuses all
	return cmd
}

// Package cli is the command line of Meridian.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	organization string
	json         bool
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
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo):
		return exitNo
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
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", os.Getenv("MERIDIAN_URL"), "where Meridian is (MERIDIAN_URL; default: the running `meridian dev`)")
	flags.StringVar(&a.tokenFile, "token-file", os.Getenv("MERIDIAN_TOKEN_FILE"), "file with the API token (MERIDIAN_TOKEN_FILE, or the token itself in MERIDIAN_TOKEN)")
	flags.StringVar(&a.dir, "dir", ".meridian", "folder of `meridian dev`")
	flags.StringVarP(&a.organization, "organization", "o", os.Getenv("MERIDIAN_ORGANIZATION"), "organization id (MERIDIAN_ORGANIZATION; default: the demo organization)")
	flags.BoolVar(&a.json, "json", false, "print JSON for machines")
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "ask", Title: "Ask:"},
		&cobra.Group{ID: "manage", Title: "Manage:"},
	)
	root.AddCommand(
		a.dev(), a.serve(), a.migrate(), a.keys(), a.bootstrap(),
		a.check(), a.explain(),
		a.model(), a.rel(), a.org(), a.token(), a.log(),
		a.version(),
	)
	return root
}

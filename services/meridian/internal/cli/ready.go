package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// readyTimeout bounds a look at a server: those who call it do so every few
// seconds.
const readyTimeout = 3 * time.Second

func (a *App) ready() *cobra.Command {
	return &cobra.Command{
		Use: "ready URL", GroupID: "run", Args: cobra.ExactArgs(1),
		Short: "Say whether a server is ready: exit code 0, or 1",
		Long: "Asks /readyz of a server, for health checks of containers without a shell. URL is that of\n" +
			"server.admin or server.listen. Exit code 2: nobody answers there.",
		Example: "  meridian ready http://127.0.0.1:9090",
		RunE: func(cmd *cobra.Command, args []string) error {
			client := http.Client{Timeout: readyTimeout}
			request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, strings.TrimRight(args[0], "/")+"/readyz", nil)
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			if err := response.Body.Close(); err != nil {
				return err
			}
			if response.StatusCode != http.StatusOK {
				fmt.Fprintln(a.stdout, "not ready:", response.Status)
				return errNo
			}
			_, err = fmt.Fprintln(a.stdout, "ready")
			return err
		},
	}
}

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/pkg/id"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

func (a *App) log() *cobra.Command {
	cmd := &cobra.Command{Use: "log", GroupID: "manage", Short: "The event log: verify, tail"}
	cmd.AddCommand(a.logVerify(), a.logTail())
	return cmd
}

func (a *App) logVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify [LOG]", Args: cobra.MaximumNArgs(1),
		Short: "Replay logs and compare all copies",
		Long: "Replays every log, or one, and compares hash chain, state rows and the JetStream copy.\n" +
			"Names the first difference. Exit code: 0 all equal, 1 a difference.",
		Example: "  meridian log verify\n  meridian log verify platform",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			req := &logv1.VerifyLogsRequest{}
			if len(args) == 1 {
				req.Log = args[0]
			}
			stream, err := client.Logs.VerifyLogs(cmd.Context(), req)
			if err != nil {
				return err
			}
			defer stream.Close() //nolint:errcheck // read to its end
			bar := a.progress("verifying")
			var logs, events, different uint64
			for stream.Receive() {
				answer := stream.Msg()
				bar.set(answer.GetLogsDone(), answer.GetLogsTotal())
				if !answer.GetDone() {
					continue
				}
				logs, events = logs+1, events+answer.GetEvents()
				if answer.GetDifference() != nil {
					different++
				}
				if err := a.verified(bar, answer); err != nil {
					return err
				}
			}
			bar.end()
			if err := stream.Err(); err != nil {
				return err
			}
			if !a.json {
				fmt.Fprintf(a.stdout, "%d logs, %d events, %d with a difference\n", logs, events, different)
			}
			if different > 0 {
				return errNo
			}
			return nil
		},
	}
}

func (a *App) verified(bar *progress, answer *logv1.VerifyLogsResponse) error {
	if a.json {
		return a.printMessage(answer)
	}
	d := answer.GetDifference()
	if d == nil {
		return nil
	}
	bar.end()
	_, err := fmt.Fprintf(a.stdout, "%s  differs at event %d (%s): %s\n", answer.GetLog(), d.GetSequence(), d.GetCopy(), d.GetDetail())
	return err
}

func (a *App) logTail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail [LOG]", Args: cobra.MaximumNArgs(1),
		Short:   "Print a log's events",
		Long:    "Prints the events of a log (default: the organization's). Personal fields stay encrypted.",
		Example: "  meridian log tail --follow\n  meridian log tail platform --from 3 --json",
	}
	from := cmd.Flags().Uint64("from", 1, "first sequence")
	follow := cmd.Flags().BoolP("follow", "f", false, "keep printing what is appended")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		log := first(append(args, a.organization, id.Platform)...)
		stream, err := client.Logs.TailLog(cmd.Context(), &logv1.TailLogRequest{Log: log, From: *from, Follow: *follow})
		if err != nil {
			return err
		}
		defer stream.Close() //nolint:errcheck // read to its end
		for stream.Receive() {
			if err := a.event(stream.Msg()); err != nil {
				return err
			}
		}
		if cmd.Context().Err() != nil {
			return nil // Ctrl-C ends it
		}
		return stream.Err()
	}
	return cmd
}

func (a *App) event(m *logv1.TailLogResponse) error {
	if a.json {
		return a.printMessage(m)
	}
	e := m.GetEnvelope()
	_, err := fmt.Fprintf(a.stdout, "%6d  %s  %-24s  %s  %s\n", e.GetSequence(), m.GetTime().AsTime().Format(time.RFC3339),
		e.GetType()[strings.LastIndexByte(e.GetType(), '.')+1:], e.GetActor().GetId(), m.GetJson())
	return err
}

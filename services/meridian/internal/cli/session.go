package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

func (a *App) session() *cobra.Command {
	cmd := &cobra.Command{Use: "session", GroupID: "manage", Short: "Who is signed in, and what clients were given: list, grants, revoke"}
	cmd.AddCommand(a.sessionList(), a.sessionGrants(), a.sessionRevoke())
	return cmd
}

func (a *App) sessionList() *cobra.Command {
	return &cobra.Command{
		Use: "list USER", Args: cobra.ExactArgs(1), Short: "List a user's sessions, newest first; USER is an id or an address",
		Example: "  meridian session list ada@example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			user, err := userID(cmd.Context(), client, args[0], "")
			if err != nil {
				return err
			}
			req := &sessionsv1.ListSessionsRequest{User: user, PageSize: identityPage}
			_, err = list(a, []string{"SESSION", "SINCE", "LAST SEEN", "DEVICE", "PLACE", "LEVEL", "BY"}, 0,
				func(cursor string) ([]*sessionsv1.Session, string, error) {
					req.Cursor = cursor
					answer, err := client.Sessions.ListSessions(cmd.Context(), req)
					return answer.GetSessions(), answer.GetNextCursor(), err
				},
				func(s *sessionsv1.Session) []string {
					return []string{
						s.GetId(), timeText(s.GetStartedAt()), timeText(s.GetLastSeenAt()), first(s.GetDevice(), "-"), first(s.GetIp(), "-"),
						s.GetAcr(), strings.Join(s.GetAmr(), " "),
					}
				})
			return err
		},
	}
}

func (a *App) sessionGrants() *cobra.Command {
	return &cobra.Command{
		Use: "grants USER", Args: cobra.ExactArgs(1), Short: "List what clients were given by a user, newest first",
		Example: "  meridian session grants usr_…",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			user, err := userID(cmd.Context(), client, args[0], "")
			if err != nil {
				return err
			}
			req := &sessionsv1.ListGrantsRequest{User: user, PageSize: identityPage}
			_, err = list(a, []string{"GRANT", "CLIENT", "ORGANIZATION", "SESSION", "GIVEN", "UNTIL", "SCOPES"}, 0,
				func(cursor string) ([]*sessionsv1.Grant, string, error) {
					req.Cursor = cursor
					answer, err := client.Sessions.ListGrants(cmd.Context(), req)
					return answer.GetGrants(), answer.GetNextCursor(), err
				},
				func(g *sessionsv1.Grant) []string {
					return []string{
						g.GetId(), g.GetClient(), first(g.GetOrganization(), "-"), g.GetSession(), timeText(g.GetGivenAt()), timeText(g.GetExpiresAt()),
						strings.Join(g.GetScopes(), " "),
					}
				})
			return err
		},
	}
}

func (a *App) sessionRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke USER [SESSION|GRANT]", Args: cobra.RangeArgs(1, 2), Short: "End a session, what a client was given, or with --all everything: signed out everywhere",
		Example: "  meridian session revoke ada@example.com ses_…\n  meridian session revoke ada@example.com gnt_…\n  meridian session revoke ada@example.com --all",
	}
	all := cmd.Flags().Bool("all", false, "all sessions, and all that clients were given")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *all == (len(args) == 2) {
			return fmt.Errorf("name a session or a grant, or give --all")
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		user, err := userID(cmd.Context(), client, args[0], "")
		if err != nil {
			return err
		}
		switch {
		case *all:
			answer, err := client.Sessions.RevokeSessions(cmd.Context(), &sessionsv1.RevokeSessionsRequest{User: user, IdempotencyKey: newKey()})
			return a.did(answer, err, "revoked", fmt.Sprintf("%d sessions, %d grants", answer.GetSessions(), answer.GetGrants()))
		case strings.HasPrefix(args[1], "gnt_"):
			answer, err := client.Sessions.RevokeGrant(cmd.Context(), &sessionsv1.RevokeGrantRequest{User: user, Grant: args[1], IdempotencyKey: newKey()})
			return a.did(answer, err, "revoked", args[1])
		default:
			answer, err := client.Sessions.RevokeSession(cmd.Context(), &sessionsv1.RevokeSessionRequest{User: user, Session: args[1], IdempotencyKey: newKey()})
			return a.did(answer, err, "revoked", args[1])
		}
	}
	return cmd
}

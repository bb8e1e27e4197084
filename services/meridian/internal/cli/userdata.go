package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) userErase() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erase USER", Args: cobra.ExactArgs(1), Short: "Destroy a user's personal data, everywhere and for good",
		Long: "Destroys the user's key, and with it the personal data in every copy of every log, and removes\n" +
			"profile, credentials and memberships. The id stays. Prints the proof that the log holds, too.",
		Example: `  meridian user erase anna@acme.example
  meridian user erase usr_… --yes --json`,
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	force := cmd.Flags().Bool("force", false, "erase although an organization loses its last administrator")
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, args []string) error {
		name := args[0]
		if name != user {
			name += " (" + user + ")"
		}
		if err := a.confirmed(ctx, *yes, "Erase "+name+"? It cannot be taken back."); err != nil {
			return err
		}
		answer, err := client.Users.EraseUser(ctx, &identityv1.EraseUserRequest{User: user, Force: *force, IdempotencyKey: newKey()})
		p := answer.GetProof()
		return a.show(answer, err, "erased", p.GetUser(), "at", timeText(p.GetErasedAt()), "key", hex.EncodeToString(p.GetKeyDigest()),
			"sequence", strconv.FormatUint(p.GetSequence(), 10), "hash", hex.EncodeToString(p.GetHash()), "revision", answer.GetRevision())
	})
}

func (a *App) userExport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export USER", Args: cobra.ExactArgs(1), Short: "Print all that is kept of a user, as JSON",
		Long: "Prints profile, memberships, and the events of the user's log with personal data: one JSON\n" +
			"document, on one line with --json.",
		Example: "  meridian user export anna@acme.example > anna.json",
	}
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Users.ExportUser(ctx, &identityv1.ExportUserRequest{User: user})
		if err != nil {
			return err
		}
		whole, err := document(answer)
		if err != nil {
			return err
		}
		out := json.NewEncoder(a.stdout)
		if !a.json {
			out.SetIndent("", "  ")
		}
		return out.Encode(whole)
	})
}

// document is an export as one JSON document: the events are objects, not texts.
func document(answer *identityv1.ExportUserResponse) (map[string]any, error) {
	content, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var whole map[string]any
	if err := json.Unmarshal(content, &whole); err != nil {
		return nil, err
	}
	events := make([]json.RawMessage, 0, len(answer.GetEvents()))
	for i, text := range answer.GetEvents() {
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("event %d of the export is no JSON", i)
		}
		events = append(events, json.RawMessage(text))
	}
	whole["events"] = events
	return whole, nil
}

func (a *App) userSetPassword() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set-password USER", Args: cobra.ExactArgs(1), Short: "Give a user a password",
		Long: "Asks for the password, without showing it, or reads it from standard input with --stdin. It is\n" +
			"never an argument: others on the machine could read that. The policy is that of the organization\n" +
			"that -o or MERIDIAN_ORGANIZATION names, else the platform's.",
		Example: `  meridian user set-password anna@acme.example
  pass show anna | meridian user set-password anna@acme.example --stdin
  meridian user set-password usr_… --hash --stdin < hash.txt`,
	}
	stdin := cmd.Flags().Bool("stdin", false, "read one line from standard input")
	hash := cmd.Flags().Bool("hash", false, "what is read is the hash of a password that was made elsewhere")
	var organization string // as it was given: client() fills in the demo organization
	cmd.PreRun = func(*cobra.Command, []string) { organization = a.organization }
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		secret, err := a.password(ctx, *stdin, *hash)
		if err != nil {
			return err
		}
		request := &identityv1.SetPasswordRequest{User: user, Organization: organization, IdempotencyKey: newKey()}
		if request.Secret = (&identityv1.SetPasswordRequest_Password{Password: secret}); *hash {
			request.Secret = &identityv1.SetPasswordRequest_Hash{Hash: secret}
		}
		answer, err := client.Credentials.SetPassword(ctx, request)
		return a.did(answer, err, "set", words(answer.GetCredential().GetId(), "password of "+user))
	})
}

// maxSecret is the longest line that a password is read from.
const maxSecret = 4 << 10

// password reads a password or a hash.
func (a *App) password(ctx context.Context, stdin, hash bool) (string, error) {
	if stdin {
		return readSecret(a.stdin)
	}
	tty := a.terminal()
	if tty == nil {
		return "", errors.New("nobody can be asked here: give --stdin to read it from standard input")
	}
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(a.stderr, prompt)
		text, err := a.typed(ctx, tty, func() ([]byte, error) { return term.ReadPassword(int(tty.Fd())) })
		fmt.Fprintln(a.stderr)
		return text, err
	}
	if hash {
		text, err := ask("Hash: ")
		return string(text), err
	}
	first, err := ask("New password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("Once more: ")
	if err == nil && !bytes.Equal(first, again) {
		err = errors.New("the two are not the same; nothing was done")
	}
	return string(first), err
}

// readSecret reads one line, without its end.
func readSecret(from io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(from, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	if len(content) > maxSecret {
		return "", fmt.Errorf("standard input: more than %d bytes", maxSecret)
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	switch {
	case len(content) == 0:
		return "", errors.New("standard input: there is nothing")
	case bytes.ContainsAny(content, "\r\n"):
		return "", errors.New("standard input: more than one line")
	}
	return string(content), nil
}

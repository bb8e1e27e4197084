package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/dev"
)

// client returns a client for the deployment that the flags, the environment or
// a running `meridian dev` name.
func (a *App) client() (*meridian.Client, error) {
	url, token := a.url, os.Getenv("MERIDIAN_TOKEN")
	if a.tokenFile != "" {
		content, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		if token = strings.TrimSpace(string(content)); token == "" {
			return nil, fmt.Errorf("--token-file: %s is empty", a.tokenFile)
		}
	}
	if url == "" || token == "" || a.organization == "" {
		ready, err := dev.Read(a.dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && (url == "" || token == ""):
			return nil, fmt.Errorf("no deployment: start `meridian dev`, or give --url and --token-file")
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		if url == "" && a.region != "" {
			if url = ready.Regions[a.region]; url == "" {
				return nil, fmt.Errorf("--region: there is no region %q; `meridian dev --regions` runs %q", a.region, slices.Sorted(maps.Keys(ready.Regions)))
			}
		}
		// The development deployment's token and organization are of use there
		// only.
		if url == "" || ready.Has(url) {
			url = first(url, ready.URL)
			token = first(token, ready.AdminToken)
			a.organization = first(a.organization, ready.Organization)
		}
	}
	return meridian.New(url, token), nil
}

// inOrganization returns a client and the organization to work on.
func (a *App) inOrganization() (*meridian.Client, string, error) {
	client, err := a.client()
	if err != nil {
		return nil, "", err
	}
	if a.organization == "" {
		return nil, "", errors.New("which organization? give --organization or MERIDIAN_ORGANIZATION")
	}
	return client, a.organization, nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// newKey makes an idempotency key for one command.
func newKey() string { return "cli-" + uuid.NewString() }

// describe says what went wrong and what to do.
func describe(err error) string {
	e, ok := meridian.AsError(err)
	if !ok {
		return err.Error()
	}
	prefix, _, wrapped := strings.Cut(err.Error(), e.Err.Error())
	text := e.Err.Message()
	if wrapped {
		text = prefix + text
	}
	switch {
	case e.Reason == commonv1.Reason_REASON_UNSPECIFIED && e.Err.Code() == connect.CodeUnavailable:
		return "Meridian cannot be reached: " + e.Err.Message() + "; is `meridian dev` running?"
	case e.Reason == commonv1.Reason_REASON_UNSPECIFIED:
		return text
	case e.Reason == commonv1.Reason_TOKEN_MALFORMED, e.Reason == commonv1.Reason_TOKEN_REJECTED:
		text += "; check --token-file or MERIDIAN_TOKEN"
	}
	return fmt.Sprintf("%s (%s)", text, e.Reason)
}

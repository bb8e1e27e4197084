package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/source"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// wantSource wants ListSources to have a source.
func (f *fixture) wantSource(t *testing.T, ctx context.Context, m *rpc.Migration, want *identityv1.Source) {
	t.Helper()
	answer, err := m.ListSources(ctx, &identityv1.ListSourcesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.GetSources() {
		if s.GetName() == want.GetName() && proto.Equal(s, want) {
			return
		}
	}
	t.Errorf("sources %v, want %v among them", answer.GetSources(), want)
}

const checker = "https://console.example.com/check"

func put(t *testing.T, ctx context.Context, m *rpc.Migration, url string, disabled, newSecret bool) *identityv1.PutSourceResponse {
	t.Helper()
	answer, err := m.PutSource(ctx, &identityv1.PutSourceRequest{
		Name: "console", CheckerUrl: url, Disabled: disabled, NewSecret: newSecret, IdempotencyKey: key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPutSource(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	if got := put(t, ctx, m, "", false, false); got.GetSecret() != "" || got.GetSource().GetName() != "console" {
		t.Errorf("a source without a checker: %v", got)
	}
	request := &identityv1.PutSourceRequest{Name: "console", CheckerUrl: checker, IdempotencyKey: key()}
	first, err := m.PutSource(ctx, request)
	if err != nil || !strings.HasPrefix(first.GetSecret(), "mss_") || first.GetSource().GetCheckerUrl() != checker {
		t.Fatalf("the first checker: %v, %v", first, err)
	}
	repeated, err := m.PutSource(ctx, request)
	if err != nil || repeated.GetSecret() != "" || repeated.GetRevision() != first.GetRevision() {
		t.Errorf("repeated: %v, %v; want no secret", repeated, err)
	}
	same := put(t, ctx, m, checker, false, false)
	if same.GetSecret() != "" || same.GetRevision() != first.GetRevision() {
		t.Errorf("as it is: %v; want nothing written", same)
	}
	if got := put(t, ctx, m, checker, true, false); got.GetSecret() != "" || !got.GetSource().GetDisabled() {
		t.Errorf("kill switch: %v", got)
	}
	second := put(t, ctx, m, checker, true, true)
	if !strings.HasPrefix(second.GetSecret(), "mss_") || second.GetSecret() == first.GetSecret() {
		t.Error("a new secret is none")
	}
	f.wantSource(t, ctx, m, &identityv1.Source{Name: "console", CheckerUrl: checker, Disabled: true})
	f.verify(t, id.Platform)
	for _, secret := range []string{first.GetSecret(), second.GetSecret()} {
		f.wantNowhere(t, secret)
	}

	if _, err := f.db.Pool().Exec(ctx, `UPDATE identity.sources SET disabled = false`); err != nil {
		t.Fatal(err)
	}
	if f.difference(t, id.Platform) == nil {
		t.Error("the fold does not see that the kill switch was turned without the log")
	}
}

// wantNowhere looks for a text in the tables that could hold it.
func (f *fixture) wantNowhere(t *testing.T, text string) {
	t.Helper()
	var found bool
	err := f.db.Pool().QueryRow(t.Context(), `SELECT
		EXISTS (SELECT 1 FROM log.idempotency WHERE position($1::BYTEA IN outcome) > 0) OR
		EXISTS (SELECT 1 FROM log.events WHERE position($1::BYTEA IN envelope) > 0)`, []byte(text)).Scan(&found)
	if err != nil || found {
		t.Errorf("a secret is stored: %t, %v", found, err)
	}
}

func TestPutSourceRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	for name, tc := range map[string]struct {
		url  string
		bare bool
		want commonv1.Reason
	}{
		"http elsewhere":   {"http://console.example.com/", false, commonv1.Reason_INVALID_FIELD},
		"user and secret":  {"https://ada:secret@console.example.com/", false, commonv1.Reason_INVALID_FIELD},
		"no key to derive": {checker, true, commonv1.Reason_SERVICE_UNAVAILABLE},
	} {
		m := f.migration(t)
		if tc.bare {
			m.Blind = blind.Key{}
		}
		_, err := m.PutSource(ctx, &identityv1.PutSourceRequest{Name: "console", CheckerUrl: tc.url, IdempotencyKey: key()})
		if !fault.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if logs := f.verifyAll(t); logs != 0 {
		t.Errorf("%d logs were written", logs)
	}
}

func TestSourcesAreLimited(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	for i := range source.Max {
		if _, err := m.PutSource(ctx, &identityv1.PutSourceRequest{Name: fmt.Sprint("source-", i), IdempotencyKey: key()}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.PutSource(ctx, &identityv1.PutSourceRequest{Name: "console", IdempotencyKey: key()})
	if !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
		t.Errorf("one too many: %v", err)
	}
	_, err = m.ImportUsers(ctx, &identityv1.ImportUsersRequest{
		Source: "console", Users: []*identityv1.ImportedUser{person("1", "ada@example.com")}, IdempotencyKey: key(),
	})
	if !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
		t.Errorf("an import from one too many: %v", err)
	}
	if answer, err := m.ListSources(ctx, &identityv1.ListSourcesRequest{}); err != nil || len(answer.GetSources()) != source.Max {
		t.Errorf("%d sources, %v", len(answer.GetSources()), err)
	}
	f.verify(t, id.Platform)
}

func TestSourcesPutAtOnce(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	secrets := map[string]bool{}
	for range 8 {
		group.Go(func() {
			answer, err := m.PutSource(ctx, &identityv1.PutSourceRequest{Name: "console", CheckerUrl: checker, IdempotencyKey: key()})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			secrets[answer.GetSecret()] = true
		})
	}
	group.Wait()
	if len(secrets) != 2 || !secrets[""] {
		t.Errorf("%d different answers; want one with the secret, and others without", len(secrets))
	}
	f.verify(t, id.Platform)
}

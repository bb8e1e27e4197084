package store

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// The rows of trusts are the fold of their events, and only their organization has them.
func TestTrusts(t *testing.T) {
	t.Parallel()
	db, org, other := sqltest.New(t), id.New(id.Organization), id.New(id.Organization)
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	fold := newTrustFold(org)
	change := func(row Trust, event proto.Message) Trust {
		t.Helper()
		err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			return ChangeTrust(ctx, tx, &row, []proto.Message{event}, region, at)
		})
		if err != nil || !fold.apply(event) {
			t.Fatalf("%T: %v", event, err)
		}
		return row
	}
	make1 := func() Trust {
		return change(Trust{}, &eventv1.TrustCreated{Trust: id.New(id.Trust), Organization: org, Settings: &eventv1.TrustSettings{
			Name: "a \"b\"", Subject: `repo:example/app:*`, Jwks: `{"keys":[]}`, MaxScopes: []string{`a\b`},
		}})
	}
	first, second := make1(), make1()
	first = change(first, &eventv1.TrustSettingsChanged{Trust: first.ID, Settings: &eventv1.TrustSettings{Name: "b", JwksUri: "https://keys.example"}})
	read, err := FindTrust(t.Context(), db.Pool(), first.ID)
	if err != nil || !read.Equal(first.State) || !read.CreatedAt.Equal(at) || read.HomeRegion != region {
		t.Errorf("read %+v, %v; made %+v", read, err, first)
	}
	for name, tc := range map[string]struct{ owner, id string }{"another's": {other, first.ID}, "absent": {org, id.New(id.Trust)}} {
		if _, err := FindTrustOf(t.Context(), db.Pool(), tc.owner, tc.id); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := CountTrusts(t.Context(), db.Pool(), org); err != nil || n != 2 {
		t.Errorf("%d trusts, %v", n, err)
	}
	change(first, &eventv1.TrustDeleted{Trust: first.ID})
	if difference, err := fold.compare(t.Context(), db.Pool()); err != nil || difference != "" {
		t.Errorf("%s, %v", difference, err)
	}
	if _, err := db.Pool().Exec(t.Context(), `UPDATE sessions.trusts SET settings = '{}' WHERE trust_id = $1`, second.ID); err != nil {
		t.Fatal(err)
	}
	if difference, _ := fold.compare(t.Context(), db.Pool()); difference == "" {
		t.Error("a row that no event explains is not seen")
	}
	if _, err := db.Pool().Exec(t.Context(), `DELETE FROM sessions.trusts`); err != nil {
		t.Fatal(err)
	}
	if difference, _ := fold.compare(t.Context(), db.Pool()); difference == "" {
		t.Error("a row that is missing is not seen")
	}
	if fold.apply(&eventv1.ClientCreated{}) {
		t.Error("the fold knows the events of trusts, and no others")
	}
}

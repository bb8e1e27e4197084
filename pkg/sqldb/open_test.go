package sqldb_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestOpenRefusesAMalformedURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://user:hunter2@host:port/x", "postgres://user:hunter2@h/x?sslmode=perhaps", "hunter2"} {
		_, err := sqldb.Open(t.Context(), sqldb.Config{URL: secret.NewString(url)})
		wantFault(t, err, fault.Invalid, commonv1.Reason_INVALID_FIELD)
		if strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("the error holds the password: %v", err)
		}
	}
}

// TestOpenAServerThatSaysNothing: something listens, and never answers.
func TestOpenAServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, err = sqldb.Open(t.Context(), sqldb.Config{
		URL:            secret.NewString("postgres://u:p@" + listener.Addr().String() + "/x?sslmode=disable"),
		ConnectTimeout: 100 * time.Millisecond, AcquireTimeout: 100 * time.Millisecond,
	})
	wantFault(t, err, fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
}

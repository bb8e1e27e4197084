package eventlog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// corrupt is an EVENT_CORRUPT fault that names the place.
func corrupt(log string, sequence uint64, detail string) *fault.Fault {
	if len(log) > maxLogID {
		log = strings.ToValidUTF8(log[:maxLogID], "")
	}
	return fault.New(fault.Internal, commonv1.Reason_EVENT_CORRUPT, detail).
		With("log", log).With("sequence", strconv.FormatUint(sequence, 10))
}

// maxLogID is more than the id of any log is long.
const maxLogID = 64

// defect is a fault of the program, not of the request.
func defect(detail string) *fault.Fault {
	return fault.New(fault.Internal, commonv1.Reason_DEFECT, detail)
}

// failed wraps an error of the database. Inside a transaction the driver's
// error stays as it is, because DB.Write retries by it; outside it becomes a
// fault.
func failed(q sqldb.Querier, operation string, err error) error {
	if _, ok := fault.As(err); ok || err == nil {
		return err
	}
	if _, ok := q.(pgx.Tx); ok {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return sqldb.Unavailable(fmt.Errorf("%s: %w", operation, err))
}

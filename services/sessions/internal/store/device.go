package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/device"
)

// Device is a row of sessions.devices.
type Device struct {
	device.State

	// Hash and UserHash are those of the device code and of what people type.
	Hash, UserHash    [32]byte
	Issuer            string
	Scopes, Resources []string
	// Grant is what was given, or "".
	Grant string
	// IP is where it was asked for.
	IP         string
	HomeRegion string
}

const deviceColumns = `device_hash, user_hash, client_id, issuer, scopes, resources, status, grant_id, ip, interval_seconds, polled_at,
 home_region, expires_at`

// InsertDevice writes a new device, and says false when its user code is taken.
func InsertDevice(ctx context.Context, db *sqldb.DB, d Device) (bool, error) {
	tag, err := db.Pool().Exec(ctx,
		`INSERT INTO sessions.devices (`+deviceColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		 ON CONFLICT (user_hash) DO NOTHING`,
		d.Hash[:], d.UserHash[:], d.Client, d.Issuer, words(d.Scopes), words(d.Resources), d.Status, d.Grant, d.IP, int64(d.Interval/time.Second),
		d.PolledAt, d.HomeRegion, d.ExpiresAt)
	if err != nil {
		return false, sqldb.Unavailable(err)
	}
	return tag.RowsAffected() == 1, nil
}

// FindDevice reads a device by its device code, by the primary key; the zero one: there
// is none.
func FindDevice(ctx context.Context, q sqldb.Querier, hash [32]byte) (Device, error) {
	return scanDevice(q.QueryRow(ctx, `SELECT `+deviceColumns+` FROM sessions.devices WHERE device_hash = $1`, hash[:]))
}

// FindDeviceOfUser reads a device by what people type, by the index devices_user; the
// zero one: there is none.
func FindDeviceOfUser(ctx context.Context, q sqldb.Querier, hash [32]byte) (Device, error) {
	return scanDevice(q.QueryRow(ctx, `SELECT `+deviceColumns+` FROM sessions.devices WHERE user_hash = $1`, hash[:]))
}

// PollDevice writes when a device asked.
func PollDevice(ctx context.Context, db *sqldb.DB, d Device) error {
	_, err := db.Pool().Exec(ctx, `UPDATE sessions.devices SET polled_at = $2, interval_seconds = $3 WHERE device_hash = $1 AND polled_at < $2`,
		d.Hash[:], d.PolledAt, int64(d.Interval/time.Second))
	return sqldb.Unavailable(err)
}

// AnswerDevice writes what somebody said, if nobody did before.
//
// Errors: NOT_FOUND.
func AnswerDevice(ctx context.Context, q sqldb.Querier, hash [32]byte, status device.Status, grantID string) error {
	tag, err := q.Exec(ctx, `UPDATE sessions.devices SET status = $2, grant_id = $3 WHERE device_hash = $1 AND status = 1`, hash[:], status, grantID)
	if err != nil {
		return sqldb.Unavailable(err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "the device does not wait any more")
	}
	return nil
}

// TakeDevice removes a device that was allowed, and says whether it was there: of two
// who take it one does.
func TakeDevice(ctx context.Context, db *sqldb.DB, hash [32]byte) (bool, error) {
	tag, err := db.Pool().Exec(ctx, `DELETE FROM sessions.devices WHERE device_hash = $1 AND status = 2`, hash[:])
	if err != nil {
		return false, sqldb.Unavailable(err)
	}
	return tag.RowsAffected() == 1, nil
}

func scanDevice(row pgx.Row) (Device, error) {
	var d Device
	var hash, user []byte
	var scopes, resources string
	var interval int64
	err := row.Scan(&hash, &user, &d.Client, &d.Issuer, &scopes, &resources, &d.Status, &d.Grant, &d.IP, &interval, &d.PolledAt, &d.HomeRegion, &d.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Device{}, nil
	}
	copy(d.Hash[:], hash)
	copy(d.UserHash[:], user)
	d.Scopes, d.Resources, d.Interval = strings.Fields(scopes), strings.Fields(resources), time.Duration(interval)*time.Second
	return d, sqldb.Unavailable(err)
}

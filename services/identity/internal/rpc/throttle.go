package rpc

import (
	"context"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Meter counts what throttling does.
type Meter struct {
	failures, lockouts, refused *prometheus.CounterVec
}

// NewMeter returns a meter, whose counters are in r unless that is nil.
func NewMeter(r prometheus.Registerer) *Meter {
	vec := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"bucket"})
		if r != nil {
			r.MustRegister(v)
		}
		return v
	}
	return &Meter{
		failures: vec("meridian_identity_authentication_failures_total", "Wrong proofs, by the kind of bucket that counted them."),
		lockouts: vec("meridian_identity_authentication_lockouts_total", "Buckets that began to make attempts wait, by kind."),
		refused:  vec("meridian_identity_authentication_throttled_total", "Attempts that were told to wait, by the kind of bucket that was asked."),
	}
}

// count counts for each counter; nil counts nothing.
func (m *Meter) count(of func(*Meter) *prometheus.CounterVec, counters []throttle.Counter) {
	if m == nil {
		return
	}
	for _, c := range counters {
		of(m).WithLabelValues(string(c.Kind)).Inc()
	}
}

func failures(m *Meter) *prometheus.CounterVec { return m.failures }
func lockouts(m *Meter) *prometheus.CounterVec { return m.lockouts }
func refused(m *Meter) *prometheus.CounterVec  { return m.refused }

// The parts of an address that one customer of a provider has: the others are
// chosen at will.
const (
	networkBits4 = 24
	networkBits6 = 64
)

// networkOf is the network of a browser's address. An IPv4 address that is written as
// IPv6 is one.
//
// Errors: INVALID_FIELD (client.ip).
func networkOf(client *identityv1.Client) (string, error) {
	a, err := netip.ParseAddr(client.GetIp())
	if err != nil {
		return "", fault.Field("client.ip", "ip", "must be an IP address, as 203.0.113.7 or 2001:db8::1")
	}
	a = a.Unmap().WithZone("")
	bits := networkBits6
	if a.Is4() {
		bits = networkBits4
	}
	return netip.PrefixFrom(a, bits).Masked().String(), nil
}

// mac authenticates devices under the blind key.
func (s *Authentications) mac(purpose, realm, text string) []byte {
	return s.Blind.Index(purpose, realm, text)
}

// source is where a step comes from, as buckets are named by it. The identifier is
// what was typed, or else the user, whether or not there is one.
//
// Errors: INVALID_FIELD (client.ip).
func (s *Authentications) source(state *authentication.State, client *identityv1.Client, at time.Time) (throttle.Source, error) {
	network, err := networkOf(client)
	if err != nil {
		return throttle.Source{}, err
	}
	return throttle.Source{
		Identifier: s.identifier(state), User: state.User, Network: network,
		Device: throttle.Device(s.mac, state.User, secret.NewString(client.GetDevice()), at),
	}, nil
}

// identifier is what says who somebody is, in one form.
func (s *Authentications) identifier(state *authentication.State) string {
	email, err := address.Parse(state.Email)
	if err != nil { // there is none
		return state.User
	}
	return hex.EncodeToString(store.BlindEmail(s.Blind, state.Realm, email))
}

// keys are the rows of counters.
func (s *Authentications) keys(counters []throttle.Counter) [][]byte {
	return throttleKeys(s.Blind, counters)
}

func throttleKeys(key blind.Key, counters []throttle.Counter) [][]byte {
	out := make([][]byte, len(counters))
	for i, c := range counters {
		out[i] = key.Index("throttle", string(c.Kind), strings.Join(c.Parts, "\x00"))
	}
	return out
}

// admission is what buckets say to an attempt.
type admission struct {
	counters []throttle.Counter
	wait     time.Duration
	// filled are the counters whose next attempt has to wait, and had not before.
	filled []throttle.Counter
}

// ask counts an attempt as wrong, unless it has to wait. What it has counted holds
// when the transaction is committed, which it must be in either case.
func (s *Authentications) ask(ctx context.Context, tx pgx.Tx, counters []throttle.Counter, at time.Time) (admission, error) {
	a := admission{counters: counters}
	keys := s.keys(counters)
	before, err := store.TakeThrottles(ctx, tx, keys, s.Region, at)
	if err != nil {
		return a, err
	}
	wait, next := throttle.Admit(counters, before, at)
	a.wait = wait
	for i, c := range counters {
		if c.Blocked(next[i]) && !c.Blocked(before[i]) {
			a.filled = append(a.filled, c)
		}
	}
	return a, store.StoreThrottles(ctx, tx, keys, next, s.Region)
}

// answer is the error of an attempt that has to wait, and counts what was asked.
func (s *Authentications) answer(a admission) error {
	s.Meter.count(lockouts, a.filled)
	if a.wait == 0 {
		return nil
	}
	s.Meter.count(refused, a.counters)
	// A whole second: the exact time would say when others tried.
	wait := (a.wait + time.Second - 1).Truncate(time.Second)
	return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many attempts; wait before the next").Retry(wait)
}

// admit asks in a transaction of its own.
//
// Errors: RATE_LIMITED.
func (s *Authentications) admit(ctx context.Context, counters []throttle.Counter, at time.Time) error {
	var a admission
	err := s.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		a, err = s.ask(ctx, tx, counters, at)
		return err
	})
	if err != nil {
		return err
	}
	return s.answer(a)
}

// forgive takes back what ask counted.
func (s *Authentications) forgive(ctx context.Context, tx pgx.Tx, counters []throttle.Counter, at time.Time) error {
	keys := s.keys(counters)
	before, err := store.TakeThrottles(ctx, tx, keys, s.Region, at)
	if err != nil {
		return err
	}
	return store.StoreThrottles(ctx, tx, keys, throttle.Forgive(counters, before, at), s.Region)
}

// clear forgets all failures of a user who was let in, from there.
func (s *Authentications) clear(ctx context.Context, tx pgx.Tx, from throttle.Source, at time.Time) error {
	keys := s.keys(throttle.Cleared(from))
	if _, err := store.TakeThrottles(ctx, tx, keys, s.Region, at); err != nil {
		return err
	}
	empty := make([]throttle.Bucket, len(keys))
	for i := range empty {
		empty[i] = throttle.Bucket{BlockedUntil: time.Unix(0, 0), UpdatedAt: at}
	}
	return store.StoreThrottles(ctx, tx, keys, empty, s.Region)
}

// countersOf are the buckets of a proof of a factor. What can be tried through, as
// the million codes of a TOTP, has buckets of its own.
func countersOf(f identityv1.Factor, from throttle.Source) []throttle.Counter {
	switch f {
	case identityv1.Factor_FACTOR_NEW_PASSWORD:
		return nil
	case identityv1.Factor_FACTOR_TOTP, identityv1.Factor_FACTOR_RECOVERY_CODE:
		return throttle.Counters(throttle.Second, from)
	default:
		return throttle.Counters(throttle.Guess, from)
	}
}

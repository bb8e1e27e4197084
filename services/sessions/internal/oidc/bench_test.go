package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// workers is how many requests are under way at once, for each processor.
const workers = 4

// pace compares what is measured with a limit that was measured just before.
type pace struct{ limit float64 }

// measure runs an operation in many goroutines. Each gets one of its own from worker,
// which is called for each before the time begins.
func (p *pace) measure(b *testing.B, name string, isLimit bool, worker func(b *testing.B) func() bool) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(workers)
		ready := make(chan func() bool, 1024)
		for range 1024 / 16 {
			ready <- worker(b)
		}
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			do := <-ready
			for pb.Next() {
				if !do() {
					return
				}
			}
		})
		rate := float64(b.N) / b.Elapsed().Seconds()
		b.ReportMetric(rate, "req/s")
		if isLimit {
			p.limit = rate
		} else if p.limit > 0 {
			b.ReportMetric(rate/p.limit, "of-limit")
		}
	})
}

// BenchmarkClientCredentials prints how many tokens a second clients get for themselves,
// by a secret, beside the one signature that each needs.
func BenchmarkClientCredentials(b *testing.B) {
	f := newFixture(b)
	a := f.client(b)
	var p pace
	p.measure(b, "ecdsa-alone", true, signing)
	p.measure(b, "token", false, func(b *testing.B) func() bool {
		return func() bool {
			given, ok := f.post(b, a, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
			return ok && given["access_token"] != ""
		}
	})
}

// signing signs 32 bytes.
func signing(b *testing.B) func() bool {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	return func() bool {
		_, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
		return err == nil
	}
}

// BenchmarkRefresh prints how many refresh tokens a second are rotated, each of a user
// in an organization and with an ID token, beside a serializable transaction that
// updates the row and nothing else. Identity answers from memory.
func BenchmarkRefresh(b *testing.B) {
	f := newFixture(b)
	a, organization := f.client(b), f.organization(b)
	var p pace
	p.measure(b, "transaction-alone", true, func(b *testing.B) func() bool {
		name, generation := grant.GrantOfRefresh(secret.NewString(f.granted(b, a, organization)))
		return func() bool {
			generation++
			return pgx.BeginTxFunc(context.Background(), f.db.Pool(), pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
				_, err := tx.Exec(context.Background(), `UPDATE sessions.grants SET generation = $2 WHERE grant_id = $1`, name, int64(generation))
				return err
			}) == nil
		}
	})
	p.measure(b, "rotation", false, func(b *testing.B) func() bool {
		current := f.granted(b, a, organization)
		return func() bool {
			given, ok := f.post(b, a, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {current}})
			next, _ := given["refresh_token"].(string)
			if ok && (next == "" || next == current) {
				b.Errorf("the refresh token is not rotated: %v", given)
				return false
			}
			current = next
			return ok
		}
	})
}

// BenchmarkIntrospect prints how many questions a second about tokens are answered,
// beside the one row that each of them needs: the client's.
func BenchmarkIntrospect(b *testing.B) {
	f := newFixture(b)
	a, organization := f.client(b), f.organization(b)
	refresh := f.granted(b, a, organization)
	given, ok := f.post(b, a, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	if !ok {
		b.FailNow()
	}
	var p pace
	p.measure(b, "row-alone", true, func(*testing.B) func() bool {
		return func() bool {
			var name string
			err := f.db.Pool().QueryRow(context.Background(), `SELECT client_id FROM sessions.clients WHERE client_id = $1`, a.id).Scan(&name)
			return err == nil
		}
	})
	for _, kind := range []string{"access_token", "refresh_token"} {
		token, _ := given[kind].(string)
		p.measure(b, kind, false, func(b *testing.B) func() bool {
			return func() bool {
				said, ok := f.post(b, a, "/oauth2/introspect", url.Values{"token": {token}})
				if active, _ := said["active"].(bool); ok && !active {
					b.Errorf("the token is said to be good for nothing: %v", said)
					return false
				}
				return ok
			}
		})
	}
}

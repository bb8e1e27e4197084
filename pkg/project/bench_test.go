package project_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/relay"
)

// BenchmarkCommitToVisible measures from the acknowledgement of a commit to its
// event being applied by an attachment, with the nudge of a shared process.
func BenchmarkCommitToVisible(b *testing.B) {
	f := newFixture(b)
	r := relay.New(relay.Config{DB: f.db, Store: f.store, Bus: f.bus, Region: region, Holder: "bench"})
	background(b, r.Run)
	follower := f.follow(b)
	log := newLog()
	f.commit(b, log, 1)
	replica := newReplica(b, 0)
	a := follower.Attach(log, 0, replica.apply)
	replica.wait(a, 1)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		f.commit(b, log, 1)
		start := time.Now()
		r.Nudge(region)
		if err := a.Wait(b.Context(), uint64(i)+2); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReplay measures how fast an attachment gets a log that exists, from
// the stream.
func BenchmarkReplay(b *testing.B) {
	f := newFixture(b)
	f.relay(b)
	log := newLog()
	const events = 20_000
	for range events / 200 {
		f.commit(b, log, 200)
	}
	f.drained(b)
	follower := f.follow(b)
	b.ResetTimer()
	for range b.N {
		a := follower.Attach(log, 0, func(context.Context, []eventlog.Recorded) error { return nil })
		if err := a.Wait(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		a.Close()
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRows measures how fast a projection that keeps rows gets through a
// stream, with one row for each event.
func BenchmarkRows(b *testing.B) {
	for range b.N {
		b.StopTimer()
		f := newFixture(b)
		createSeen(b, f.db)
		f.relay(b)
		log := newLog()
		const events = 4_000
		for range events / 200 {
			f.commit(b, log, 200)
		}
		f.drained(b)
		var applied atomic.Int64
		done := make(chan struct{})
		b.StartTimer()
		stop := f.rows(b, &seen{hook: func() {
			if applied.Add(1) == events {
				close(done)
			}
		}})
		<-done
		b.StopTimer()
		stop()
		b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	}
}

// BenchmarkAge is on the path of every check.
func BenchmarkAge(b *testing.B) {
	f := newFixture(b)
	f.relay(b)
	log := newLog()
	f.commit(b, log, 1)
	replica := newReplica(b, 0)
	a := f.follow(b).Attach(log, 0, replica.apply)
	until(b, "the age is known", func() bool { _, known := a.Age(); return known })
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		a.Age()
	}
}

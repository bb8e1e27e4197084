package rpc_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// silencer stands before a database. It swallows answers to commits: to as many as
// left says, before the database has the commit or after.
type silencer struct {
	target string
	left   atomic.Int32
	before atomic.Bool
	group  sync.WaitGroup
}

// silenced returns the URL of a database behind a silencer.
func silenced(t *testing.T) (*silencer, secret.String) {
	t.Helper()
	to, err := url.Parse(sqltest.URL(t).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	s := &silencer{target: to.Host}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() { s.pass(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.group.Wait()
	})
	to.Host = listener.Addr().String()
	return s, secret.NewString(to.String())
}

func (s *silencer) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp4", s.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	committed := make(chan struct{}, 1)
	var mute atomic.Bool
	s.group.Go(func() {
		defer func() { _ = client.Close() }()
		chunk := make([]byte, 1<<16)
		for {
			n, err := server.Read(chunk)
			if err != nil {
				return
			}
			if mute.Load() {
				committed <- struct{}{}
				return
			}
			if _, err := client.Write(chunk[:n]); err != nil {
				return
			}
		}
	})
	chunk := make([]byte, 1<<16)
	for {
		n, err := client.Read(chunk)
		if err != nil {
			return
		}
		if bytes.Contains(chunk[:n], []byte("commit\x00")) && s.left.Add(-1) >= 0 {
			if s.before.Load() {
				return
			}
			mute.Store(true)
			_, _ = server.Write(chunk[:n])
			<-committed
			return
		}
		if _, err := io.Copy(server, bytes.NewReader(chunk[:n])); err != nil {
			return
		}
	}
}

// Whether a commit got its answer or not, each user is imported once, and the result
// says what became of it.
func TestImportWithoutAnswers(t *testing.T) {
	for name, before := range map[string]bool{"the answer is lost": false, "the commit is lost": true} {
		t.Run(name, func(t *testing.T) {
			silence, url := silenced(t)
			db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, MaxConns: 10})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Close)
			f, ctx := newFixtureOn(t, db), admin(t)
			m := f.migration(t)
			acme := f.organization(t, ctx, "acme")
			bring(t, ctx, m, person("known", "known@example.com"))
			users := []*identityv1.ImportedUser{person("again", "known@example.com", acme)}
			want := []identityv1.ImportOutcome{linked}
			for i := range 5 {
				users = append(users, person(fmt.Sprint(i), fmt.Sprintf("user-%d@example.com", i), acme))
				want = append(want, created)
			}
			silence.before.Store(before)
			silence.left.Store(3)
			if got := bring(t, ctx, m, users...); !slices.Equal(becameOf(got), want) {
				t.Errorf("%v", got)
			}
			if left := silence.left.Load(); left >= 0 {
				t.Errorf("%d answers were not lost", left)
			}
			if logs := f.verifyAll(t); logs != 8 {
				t.Errorf("%d logs, want the platform, the organization and six users", logs)
			}
		})
	}
}

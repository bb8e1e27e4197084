package graphs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func (r *Registry) path(organization string) string {
	return filepath.Join(r.Dir, organization+".graph")
}

// restore fills a replica's graph from its snapshot and returns the sequence
// from which the log goes on. A snapshot that is absent, damaged or not of this
// log is no error: the log has everything.
func (r *Registry) restore(ctx context.Context, rep *replica, databaseAway bool) uint64 {
	graph, header, err := r.read(ctx, rep.organization)
	if err == nil && !databaseAway {
		err = r.belongs(ctx, rep.organization, header)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.Log.WarnContext(ctx, "snapshot not used", slog.String("organization", rep.organization), slog.Any("error", err))
		}
		rep.graph.Store(authzcore.NewGraph(r.Models.Names()))
		return 0
	}
	rep.graph.Store(graph)
	rep.applied = &mark{sequence: header.Sequence, hash: header.Hash}
	rep.snapshot.Store(header.Sequence)
	return header.Sequence
}

func (r *Registry) read(ctx context.Context, organization string) (*authzcore.Graph, authzcore.Header, error) {
	f, err := os.Open(r.path(organization))
	if err != nil {
		return nil, authzcore.Header{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	graph, header, err := authzcore.LoadSnapshot(f, r.Models.Names(),
		func(id string) (*authzcore.Model, error) { return r.Models.Get(ctx, id) },
		authzcore.SnapshotLimits{MaxBytes: r.MaxGraphBytes})
	if err != nil {
		return nil, header, err
	}
	if header.Organization != organization {
		return nil, header, fmt.Errorf("snapshot is of %s", header.Organization)
	}
	return graph, header, nil
}

// belongs says whether the event at the snapshot's place is the one that the
// snapshot was made from.
func (r *Registry) belongs(ctx context.Context, organization string, header authzcore.Header) error {
	events, err := r.Store.Read(ctx, r.DB.Pool(), organization, header.Sequence, 1)
	if err != nil {
		return err
	}
	if len(events) == 0 || events[0].Hash != header.Hash {
		return fmt.Errorf("snapshot at %d is not of this log", header.Sequence)
	}
	return nil
}

// save writes a replica's snapshot: to a new file, synced, then renamed, so
// that a crash leaves the old one or the new one.
func (r *Registry) save(rep *replica) error {
	view, at := rep.saved()
	if at == nil || at.sequence == rep.snapshot.Load() || view.Model() == nil {
		return nil // nothing new, or nothing that could be asked
	}
	temporary, err := os.CreateTemp(r.Dir, rep.organization+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // gone after the rename
	if err := write(temporary, view, authzcore.Header{Organization: rep.organization, Hash: at.hash}); err != nil {
		return errors.Join(err, temporary.Close())
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), r.path(rep.organization)); err != nil {
		return err
	}
	rep.snapshot.Store(at.sequence)
	r.metrics.snapshots.Inc()
	return nil
}

func write(f *os.File, view *authzcore.View, header authzcore.Header) error {
	b := bufio.NewWriterSize(f, 1<<20)
	if err := view.WriteSnapshot(b, header); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// Package models keeps the compiled authorization models of a process.
package models

import (
	"context"
	"fmt"
	"sync"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Find reads the source files of a model that the log has not brought yet.
//
// Errors: NOT_FOUND.
type Find func(ctx context.Context, model string) ([]*eventv1.ModelFile, error)

// Registry compiles models on first use. Models never change, so what it holds
// is never stale.
type Registry struct {
	names *authzcore.Names
	find  Find

	// compiling holds those that compile what is stored, drafting those that
	// compile what is not: no flood of drafts holds up a graph.
	compiling, drafting chan struct{}

	mu       sync.Mutex
	sources  map[string][]authzcore.File
	compiled map[string]*authzcore.Model
}

// compilers is how many stored models are compiled at once.
const compilers = 2

// New returns an empty registry.
func New(names *authzcore.Names, find Find) *Registry {
	return &Registry{
		names: names, find: find, compiling: make(chan struct{}, compilers), drafting: make(chan struct{}, 1),
		sources: map[string][]authzcore.File{}, compiled: map[string]*authzcore.Model{},
	}
}

// Names returns the names that all models of the registry share.
func (r *Registry) Names() *authzcore.Names { return r.names }

// Apply learns the models in a batch of the platform's log.
func (r *Registry) Apply(_ context.Context, batch []eventlog.Recorded) error {
	for _, recorded := range batch {
		event, err := recorded.Message()
		if err != nil {
			return err
		}
		if e, ok := event.(*eventv1.ModelPublished); ok {
			r.mu.Lock()
			r.sources[e.GetModel()] = Files(e.GetFiles())
			r.mu.Unlock()
		}
	}
	return nil
}

// Get returns a compiled model.
//
// Errors: NOT_FOUND, or that of the database when the log has not brought the
// model yet.
func (r *Registry) Get(ctx context.Context, model string) (*authzcore.Model, error) {
	compiled, files := r.known(model)
	if compiled != nil {
		return compiled, nil
	}
	if files == nil {
		found, err := r.find(ctx, model)
		if err != nil {
			return nil, fmt.Errorf("find model: %w", err)
		}
		files = Files(found)
	}
	leave, err := enter(ctx, r.compiling)
	if err != nil {
		return nil, fmt.Errorf("compile stored model %s: %w", model, err)
	}
	defer leave()
	if compiled, _ = r.known(model); compiled != nil {
		return compiled, nil // while this caller waited
	}
	if compiled, err = authzcore.CompileContext(ctx, r.names, files); err != nil {
		return nil, fmt.Errorf("compile stored model %s: %w", model, err)
	}
	if compiled.ID() != model {
		return nil, fmt.Errorf("stored model %s compiles to %s", model, compiled.ID())
	}
	return r.keep(compiled), nil
}

// known returns a model that is compiled already, and the files that the log
// brought; nil for what there is not.
func (r *Registry) known(model string) (*authzcore.Model, []authzcore.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.compiled[model], r.sources[model]
}

// keep returns the one model of its id that all callers get.
func (r *Registry) keep(compiled *authzcore.Model) *authzcore.Model {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.compiled[compiled.ID()]; first != nil {
		return first
	}
	r.compiled[compiled.ID()] = compiled
	return compiled
}

// Identify compiles a model that is not published yet and returns its id. The
// model takes no room in the registry.
//
// Errors: *authzcore.ModelError; DEADLINE when ctx ends while others compile.
func (r *Registry) Identify(ctx context.Context, files []authzcore.File) (string, error) {
	compiled, err := r.Draft(ctx, files)
	if err != nil {
		return "", err
	}
	return compiled.ID(), nil
}

// Draft compiles a model that is not published yet, with names of its own.
//
// Errors: those of Identify.
func (r *Registry) Draft(ctx context.Context, files []authzcore.File) (*authzcore.Model, error) {
	leave, err := enter(ctx, r.drafting)
	if err != nil {
		return nil, err
	}
	defer leave()
	return authzcore.CompileContext(ctx, authzcore.NewNames(), files)
}

// enter waits for a place of a compiler; leave gives it back. Few models are
// compiled at once, so that no flood of them takes all processors from checks.
func enter(ctx context.Context, places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "other models are being compiled; try again").Because(ctx.Err())
	}
}

// Files turns recorded files into the compiler's input.
func Files(files []*eventv1.ModelFile) []authzcore.File {
	out := make([]authzcore.File, len(files))
	for i, f := range files {
		out[i] = authzcore.File{Path: f.GetPath(), Content: f.GetContent()}
	}
	return out
}

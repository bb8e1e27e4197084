package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

const (
	// checkEvery is how often a readiness check runs.
	checkEvery = time.Second
	// checkTimeout is the context deadline of one run.
	checkTimeout = time.Second
	// checkStale is the age at which a result no longer counts: the check hangs.
	checkStale = 5 * time.Second
)

// health runs the readiness checks in the background. Answers come from the
// last results, so they never wait for a check.
type health struct {
	log      *slog.Logger
	clock    func() time.Time
	stopping context.Context //nolint:containedctx // the life of the server, not of a call

	mu       sync.Mutex
	checks   []*check
	services map[string]bool
}

// check is one condition of being ready.
type check struct {
	name string
	run  func(ctx context.Context) error
	last atomic.Pointer[result]
}

type result struct {
	at     time.Time
	ok     bool
	reason string
	detail string
}

// checkState is one line of /readyz.
type checkState struct {
	Name string `json:"name"`
	// State is "ok", "failing", "pending" (never finished) or "stale" (hangs).
	State string `json:"state"`
	// Reason is the fault's, when it is failing.
	Reason string `json:"reason,omitempty"`
	// Detail is the fault's, for people.
	Detail string `json:"detail,omitempty"`
	// AgeSeconds since the result; -1 when there is none.
	AgeSeconds float64 `json:"age_seconds"`
}

func (h *health) add(name string, run func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, &check{name: name, run: run})
}

func (h *health) serves(service string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.services[service] = true
}

// start runs every check until ctx ends. A check that ignores its context keeps
// its own goroutine, and nothing else.
func (h *health) start(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.checks {
		go h.watch(ctx, c)
	}
}

func (h *health) watch(ctx context.Context, c *check) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		h.once(ctx, c)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *health) once(ctx context.Context, c *check) {
	bounded, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := guarded(bounded, c.run)
	if ctx.Err() != nil {
		return
	}
	now := &result{at: h.clock(), ok: err == nil}
	if err != nil {
		now.reason = "UNKNOWN"
		if f, ok := fault.As(err); ok {
			now.reason, now.detail = f.Reason.String(), f.Detail
		}
	}
	before := c.last.Swap(now)
	if before == nil || before.ok != now.ok {
		h.log.InfoContext(ctx, "readiness changed",
			slog.String("check", c.name), slog.Bool("ready", now.ok), slog.Any("error", err))
	}
}

func guarded(ctx context.Context, run func(ctx context.Context) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("readiness check panicked: %T", value)
		}
	}()
	return run(ctx)
}

// states returns every check's state and whether all are well.
func (h *health) states() (states []checkState, ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ready = h.stopping.Err() == nil
	states = make([]checkState, 0, len(h.checks))
	for _, c := range h.checks {
		state := checkState{Name: c.name, State: "pending", AgeSeconds: -1}
		if last := c.last.Load(); last != nil {
			age := h.clock().Sub(last.at)
			state.AgeSeconds, state.Reason, state.Detail = age.Seconds(), last.reason, last.detail
			switch {
			case age > checkStale:
				state.State = "stale"
			case last.ok:
				state.State = "ok"
			default:
				state.State = "failing"
			}
		}
		ready = ready && state.State == "ok"
		states = append(states, state)
	}
	return states, ready
}

func (h *health) livez(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"state": "alive"})
}

func (h *health) readyz(w http.ResponseWriter, _ *http.Request) {
	states, ready := h.states()
	body := struct {
		Ready    bool         `json:"ready"`
		Stopping bool         `json:"stopping"`
		Checks   []checkState `json:"checks"`
	}{ready, h.stopping.Err() != nil, states}
	if !ready {
		writeJSON(w, http.StatusServiceUnavailable, body)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The client is gone when this fails.
	_ = json.NewEncoder(w).Encode(body)
}

// Check implements grpchealth.Checker: the process for "", or one service.
func (h *health) Check(_ context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	h.mu.Lock()
	known := request.Service == "" || h.services[request.Service]
	h.mu.Unlock()
	if !known {
		return nil, connect.NewError(connect.CodeNotFound, errors.New(commonv1.Reason_NOT_FOUND.String()))
	}
	if _, ready := h.states(); !ready {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}

// names implements the reflection service's list.
func (h *health) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.services))
	for name := range h.services {
		names = append(names, name)
	}
	return names
}

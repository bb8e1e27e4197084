// Package audit is the audit service: what happened, as other services recorded it.
package audit

import (
	"log/slog"
	"net/http"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1/auditv1connect"
	"github.com/meridian-iam/meridian/services/audit/internal/rpc"
)

// Options are what the service needs.
type Options struct {
	// Bus has the activity of the region.
	Bus    *bus.Bus
	Logger *slog.Logger // nil: nothing is logged
}

// Service is the audit service.
type Service struct{ activity *rpc.Activity }

// New wires the service.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{activity: &rpc.Activity{Bus: o.Bus, Logger: o.Logger}}
}

// Mount adds the service's procedures to a server.
func (s *Service) Mount(mount func(path string, h http.Handler), options ...connect.HandlerOption) {
	mount(auditv1connect.NewActivityServiceHandler(s.activity, options...))
}

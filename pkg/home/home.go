// Package home sends a write to the region where its log is at home.
//
// The rows of a log have their leaseholder in the log's home region. A commit
// from another region is about ten round trips between the two. Sent on to the
// home region's services, which commit where they are, it is one.
//
// Where a log is at home is a hint: a call that was sent on is executed where it
// arrives and never sent on again, so that a wrong hint costs time and nothing
// else. When the home region's services do not answer, the service commits by
// itself, through the database, as in a deployment of one region.
package home

import (
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

const (
	// failures in a row pause the ways to a region: there is another way, so two
	// are enough.
	failures = 2
	// pause is for how long. Then one call tries it, and may wait in vain.
	pause = 5 * time.Second
)

// Options are what a Router needs.
type Options struct {
	// Region is where this process runs.
	Region string
	// Service is the service whose calls are sent on, such as "authz".
	Service string
	// Key signs service tokens.
	Key *principal.ServiceKey
	// URLs are where the service is in the other regions, by region, as
	// https://host:port. That of Region is not used.
	URLs map[string]string
	// Logs says where logs are at home.
	Logs *Logs
	// Telemetry; nil means none.
	Telemetry *telemetry.Telemetry
}

// Router knows the ways from this region to the others, for one service. Nil
// knows none: every write is committed from here.
type Router struct {
	region    string
	logs      *Logs
	telemetry *telemetry.Telemetry
	clients   map[string]*dial.Client
	forwarded *prometheus.CounterVec
}

// NewRouter makes a router, or returns nil when there is no other region. A
// service has one, since its callers share its breakers.
func NewRouter(o Options) *Router {
	if o.Telemetry == nil {
		o.Telemetry = telemetry.Discard()
	}
	r := &Router{region: o.Region, logs: o.Logs, telemetry: o.Telemetry, clients: map[string]*dial.Client{}}
	for region, url := range o.URLs {
		if region == o.Region {
			continue
		}
		r.clients[region] = dial.New(dial.Options{
			BaseURLs: []string{url}, Target: o.Service + "-" + region, Service: o.Service, Key: o.Key, ForwardFrom: o.Region,
			Once: true, Failures: failures, Pause: pause, Telemetry: o.Telemetry,
		})
	}
	if len(r.clients) == 0 {
		return nil
	}
	r.forwarded = newForwarded(o.Telemetry.Registry, o.Service)
	return r
}

// Peers are the clients of one Connect service in the other regions. Nil has none.
type Peers[C any] struct {
	*Router

	clients map[string]C
}

// Clients opens a Connect service's clients with its generated constructor.
func Clients[C any](r *Router, open func(connect.HTTPClient, string, ...connect.ClientOption) C) *Peers[C] {
	if r == nil {
		return nil
	}
	p := &Peers[C]{Router: r, clients: make(map[string]C, len(r.clients))}
	for region, c := range r.clients {
		p.clients[region] = open(c.HTTP, c.BaseURL, c.Options...)
	}
	return p
}

// Knows says whether a region is this one or one that calls are sent to.
func (p *Peers[C]) Knows(region string) bool {
	if p == nil {
		return false
	}
	_, elsewhere := p.clients[region]
	return elsewhere || region == p.region
}

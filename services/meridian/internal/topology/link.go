package topology

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// What a link carries.
const (
	carriesBus      = "nats"
	carriesDatabase = "database"
	carriesCalls    = "calls"
	// carriesNodes is what the nodes of a CockroachDB cluster say to each other.
	carriesNodes = "cockroach"
)

// Link is a way from one place to another. It carries what the one asks and the
// other answers; each way takes the delay.
type Link struct {
	// Carries is nats, database, calls or cockroach.
	Carries string
	// From is a region; To is another, or Database.
	From, To string
	// Nth tells the links apart that lead to several servers, from 0.
	Nth int
	// Address is where From reaches To, as host:port.
	Address string
	// Delay is one way, from first to last byte of a small message. It varies by
	// Jitter to both sides.
	Delay, Jitter time.Duration

	proxy *toxiproxy.Proxy
}

// Name is as nats:us-east:eu-west:0.
func (l *Link) Name() string { return fmt.Sprintf("%s:%s:%s:%d", l.Carries, l.From, l.To, l.Nth) }

// touches says whether a link begins or ends in a region.
func (l *Link) touches(region string) bool { return l.From == region || l.To == region }

// links are all links. Their proxies run inside this process, and answer
// toxiproxy's own API besides.
type links struct {
	server *toxiproxy.ApiServer
	api    string
	all    []*Link
}

func newLinks(api string) (*links, error) {
	l := &links{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()), api: api}
	failed := make(chan error, 1)
	go func() { failed <- l.server.Listen(api) }()
	if err := reachable(api, failed); err != nil {
		return nil, fmt.Errorf("proxy of the links: %w", err)
	}
	return l, nil
}

// add opens a link from an address to an address.
func (l *links) add(link *Link, to string) error {
	link.proxy = toxiproxy.NewProxy(l.server, link.Name(), link.Address, to)
	if err := l.server.Collection.Add(link.proxy, true); err != nil {
		return fmt.Errorf("link %s: %w", link.Name(), err)
	}
	l.all = append(l.all, link)
	return l.Slow(link, link.Delay, link.Jitter)
}

// point leads a link to another address. Its toxics stay.
func (l *links) point(link *Link, to string) error {
	change := &toxiproxy.Proxy{Listen: link.proxy.Listen, Upstream: to, Enabled: true}
	if err := link.proxy.Update(change); err != nil {
		return fmt.Errorf("link %s: %w", link.Name(), err)
	}
	return nil
}

// jitterShare: a delay varies by a twentieth to both sides.
const jitterShare = 20

// The toxics of a link. Each exists once for each direction.
const (
	toxicDelay = "delay"
	toxicCut   = "cut"
)

func directions() []string { return []string{"upstream", "downstream"} }

// Slow sets a link's delay.
func (l *links) Slow(link *Link, delay, jitter time.Duration) error {
	link.Delay, link.Jitter = delay, jitter
	return link.put(toxicDelay, fmt.Sprintf(`"type": "latency", "attributes": {"latency": %d, "jitter": %d}`,
		delay.Milliseconds(), jitter.Milliseconds()))
}

// Cut drops everything that a link carries: what is sent is lost, and nobody is
// told, as when a cable is cut.
func (l *links) Cut(link *Link) error {
	return link.put(toxicCut, `"type": "timeout", "attributes": {"timeout": 0}`)
}

// Heal ends a cut. Connections that were open during it break.
func (l *links) Heal(ctx context.Context, link *Link) error { return link.remove(ctx, toxicCut) }

func (l *Link) put(name, what string) error {
	for _, direction := range directions() {
		toxic := fmt.Sprintf(`{"name": "%s-%s", "stream": %[2]q, "toxicity": 1, %[3]s}`, name, direction, what)
		var err error
		if l.proxy.Toxics.GetToxic(name+"-"+direction) == nil {
			_, err = l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
		} else {
			_, err = l.proxy.Toxics.UpdateToxicJson(name+"-"+direction, strings.NewReader(toxic))
		}
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Name(), err)
		}
	}
	return nil
}

func (l *Link) remove(ctx context.Context, name string) error {
	for _, direction := range directions() {
		if l.proxy.Toxics.GetToxic(name+"-"+direction) == nil {
			continue
		}
		if err := l.proxy.Toxics.RemoveToxic(ctx, name+"-"+direction); err != nil {
			return fmt.Errorf("link %s: %w", l.Name(), err)
		}
	}
	return nil
}

// between returns the links that carry something from one place to another.
func (l *links) between(carries, from, to string) []*Link {
	return slices.DeleteFunc(slices.Clone(l.all), func(k *Link) bool {
		return k.Carries != carries || k.From != from || k.To != to
	})
}

func (l *links) close() error {
	for _, link := range l.all {
		link.proxy.Stop()
	}
	return l.server.Shutdown()
}

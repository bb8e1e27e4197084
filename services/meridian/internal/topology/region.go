package topology

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Region is one region of a deployment.
type Region struct {
	// Name is as eu-west.
	Name string
	// URL is where the region answers callers that are in it.
	URL string
	// Processes by the names of services, and nats, nats-2, nats-3.
	Processes map[string]*Process

	nats []natsServer
	// node is where the region's node of the database listens; "" when the database
	// is one server.
	node string
	// listen are the addresses of the services.
	listen map[string]string
	edge   *edge
}

// Servers are the processes of the region's NATS cluster.
func (r *Region) Servers() []*Process {
	var out []*Process
	for _, s := range r.nats {
		out = append(out, r.Processes[s.name])
	}
	return out
}

// Services are the other processes, in the order in which they start.
func (r *Region) Services() []*Process {
	var out []*Process
	for _, s := range services() {
		out = append(out, r.Processes[s])
	}
	return out
}

// place gives a region its addresses.
func (d *Deployment) place(name string, first bool) (*Region, error) {
	r := &Region{Name: name, Processes: map[string]*Process{}, listen: map[string]string{}}
	for i := range d.plan.Servers {
		s := natsServer{name: Bus}
		if i > 0 {
			s.name = fmt.Sprintf("%s-%d", Bus, i+1)
		}
		if err := d.ports.fill(&s.client, &s.cluster, &s.gateway); err != nil {
			return nil, err
		}
		r.nats = append(r.nats, s)
	}
	for _, service := range services() {
		var address string
		if err := d.ports.fill(&address); err != nil {
			return nil, err
		}
		r.listen[service] = address
	}
	if d.clustered {
		if err := d.ports.fill(&r.node); err != nil {
			return nil, err
		}
	}
	edge := d.plan.Listen
	if !first || edge == "" || strings.HasSuffix(edge, ":0") {
		if err := d.ports.fill(&edge); err != nil {
			return nil, err
		}
	}
	r.URL = "http://" + edge
	r.edge = newEdge(edge, r.listen[Identity], r.listen[Authz])
	return r, nil
}

// nodeConfig is the configuration of `meridian serve`.
const nodeConfig = `region: %s
regions: [%s]
services: [%s]
data_dir: %q
database:
  url_file: %q
bus:
  url: %q
  replicas: %d
keys:
  service_file: %q
  regional_file: %q
  blind_file: %q
identity_urls: [http://%s]
authz_urls: [http://%s]
peers: {%s}
clock_skew: %s
telemetry:
  format: text
server:
  listen: %s
  access_log: errors
  max_connections_per_address: 10000
`

func (d *Deployment) writeNode(r *Region, service string) (path string, err error) {
	path = d.path(r.Name, service+".yaml")
	hosted := service
	if service == Identity {
		hosted += ", " + Sessions + ", " + Audit
	}
	content := fmt.Sprintf(nodeConfig, r.Name, strings.Join(d.plan.Regions, ", "), hosted,
		d.path(r.Name, service), d.path(r.Name, "database.url"), d.natsURL(r), d.plan.Servers,
		d.path("service.key"), d.path(r.Name, "keys", "regional.json"), d.path("blind.key"),
		r.listen[Identity], r.listen[Authz], d.peers(r), d.plan.Skews[r.Name], r.listen[service])
	return path, os.WriteFile(path, []byte(content), 0o600)
}

// peers are the services of the other regions, by way of the links that calls
// take.
func (d *Deployment) peers(r *Region) string {
	var peers []string
	for _, other := range d.Regions {
		for _, link := range d.links.between(carriesCalls, r.Name, other.Name) {
			peers = append(peers, fmt.Sprintf("%s: {identity: \"http://%s\", authz: \"http://%[2]s\", sessions: \"http://%[2]s\"}", other.Name, link.Address))
		}
	}
	return strings.Join(peers, ", ")
}

// prepare writes what the processes of a region read, and names the processes.
func (d *Deployment) prepare(r *Region) error {
	if err := d.keys(r); err != nil {
		return err
	}
	link := d.links.between(carriesDatabase, r.Name, Database)[0]
	if err := os.WriteFile(d.path(r.Name, "database.url"), []byte(d.databaseURL(r, link.Address)+"\n"), 0o600); err != nil {
		return err
	}
	for _, s := range r.nats {
		config, err := d.writeNATS(r, s)
		if err != nil {
			return err
		}
		r.Processes[s.name] = d.process(r, s.name, []string{"nats", "--config", config, "--with-parent"},
			func(_ context.Context, ended <-chan struct{}) error { return reachable(s.client, ended) })
	}
	for _, service := range services() {
		config, err := d.writeNode(r, service)
		if err != nil {
			return err
		}
		address := r.listen[service]
		r.Processes[service] = d.process(r, service, []string{"serve", "--config", config, "--with-parent"},
			func(ctx context.Context, ended <-chan struct{}) error { return answers(ctx, address, ended) })
	}
	return nil
}

func (d *Deployment) process(
	r *Region, name string, args []string, ready func(context.Context, <-chan struct{}) error,
) *Process {
	return &Process{
		Name: r.Name + "/" + name, binary: d.plan.binary(r.Name), args: args, ready: ready,
		logFile: filepath.Join(d.plan.Dir, r.Name, name+".log"),
	}
}

// answers waits until a service says that it is ready.
func answers(ctx context.Context, address string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for {
		err := probe(ctx, client, "http://"+address+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only its status is wanted
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return nil
}

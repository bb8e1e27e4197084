package topology

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsUser is the application's, as in the configuration that is shipped.
const natsUser = "meridian"

// natsConfig is the configuration of one NATS server: that of
// infra/nats/meridian.conf without TLS, on free ports of this machine.
const natsConfig = `server_name: %[1]s
logtime: true
listen: %[2]s
max_payload: 4MB
write_deadline: "10s"
max_pending: 64MB
ping_interval: "5s"
ping_max: 2
jetstream {
  store_dir: %[3]q
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 20GB
}
accounts {
  APP {
    jetstream: enabled
    users: [
      {
        user: %[4]s
        password: %[5]q
        permissions: { publish: { deny: [
          "$JS.API.STREAM.DELETE.>"
          "$JS.API.STREAM.PURGE.>"
          "$JS.API.STREAM.MSG.DELETE.>"
          "$JS.API.STREAM.UPDATE.>"
          "$JS.API.STREAM.RESTORE.>"
        ] } }
      }
    ]
  }
  SYS { users: [ { user: system, password: %[6]q } ] }
}
system_account: SYS
`

// natsCluster makes a server one of several. JetStream elects no leader among
// one server, so a region of one server that has no others lacks it.
//
// A gateway advertises an address that nobody listens on. Else the servers would
// tell each other where they really are, and find a way around a link that is
// cut.
const natsCluster = `cluster {
  name: %[1]s
  listen: %[2]s
  no_advertise: true
  routes: [ %[3]s ]
}
gateway {
  name: %[1]s
  listen: %[4]s
  advertise: "127.0.0.1:1"
  reject_unknown_cluster: true
  gateways: [ %[5]s ]
}
`

// natsServer is one server of a region's NATS cluster.
type natsServer struct {
	name                     string
	client, cluster, gateway string
}

func (s natsServer) config(d *Deployment, r *Region) string {
	alone := fmt.Sprintf(natsConfig, r.Name+"-"+s.name, s.client, d.path(r.Name, s.name), natsUser, d.secrets.application, d.secrets.system)
	if len(d.Regions) == 1 && len(r.nats) == 1 {
		return alone
	}
	var routes, gateways []string
	// A server among its own routes is how JetStream counts the cluster.
	for _, member := range r.nats {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+member.cluster))
	}
	for _, other := range d.Regions {
		if other == r {
			continue
		}
		var urls []string
		for _, link := range d.links.between(carriesBus, r.Name, other.Name) {
			urls = append(urls, fmt.Sprintf("%q", "nats://"+link.Address))
		}
		gateways = append(gateways, fmt.Sprintf("{ name: %s, urls: [ %s ] }", other.Name, strings.Join(urls, ", ")))
	}
	return alone + fmt.Sprintf(natsCluster, r.Name, s.cluster, strings.Join(routes, ", "), s.gateway, strings.Join(gateways, ", "))
}

// secrets are the passwords of one run.
type secrets struct{ application, system string }

func newSecrets() secrets { return secrets{application: rand.Text(), system: rand.Text()} }

func (d *Deployment) writeNATS(r *Region, s natsServer) (path string, err error) {
	path = d.path(r.Name, s.name+".conf")
	return path, os.WriteFile(path, []byte(s.config(d, r)), 0o600)
}

// url is where the region's services reach their NATS cluster. It holds the
// password.
func (d *Deployment) natsURL(r *Region) string {
	var urls []string
	for _, s := range r.nats {
		urls = append(urls, fmt.Sprintf("nats://%s:%s@%s", natsUser, d.secrets.application, s.client))
	}
	return strings.Join(urls, ",")
}

// elected waits until JetStream of a region takes part in the meta group of all
// regions, which must elect a leader first.
func (d *Deployment) elected(ctx context.Context, r *Region) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := nats.Connect(d.natsURL(r), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("NATS of %s: %w", r.Name, err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("JetStream of %s: %w", r.Name, err)
	}
	for {
		soon, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := js.AccountInfo(soon) // the leader answers
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

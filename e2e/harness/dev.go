package harness

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
)

// Ready is what dev.json says.
type Ready struct {
	URL          string `json:"url"`
	AdminToken   string `json:"admin_token"`
	Organization string `json:"organization"`
	PID          int    `json:"pid"`
	// Regions are the URLs of the regions, when there are several.
	Regions map[string]string `json:"regions"`
	// Links is toxiproxy's API, where the links between them are.
	Links string `json:"links"`
}

// Dev is a running `meridian dev`.
type Dev struct {
	Ready
	*Process

	// Dir is what it keeps everything in.
	Dir string
}

// StartDev starts `meridian dev` in dir and waits until it is ready. It is
// killed when the test ends.
func StartDev(t testing.TB, dir string, args ...string) *Dev {
	t.Helper()
	announced := filepath.Join(dir, "dev.json")
	before, _ := os.Stat(announced)
	cmd := exec.Command(Binary(t), append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0"}, args...)...) //nolint:noctx // StartProcess ends it with the test
	cmd.Env = Environment()
	d := &Dev{Dir: dir, Process: StartProcess(t, cmd)}
	Eventually(t, "meridian dev is ready", func() error {
		select {
		case <-d.exited:
			t.Fatalf("meridian dev ended: %v\n%s", d.err, d.output)
		default:
		}
		now, err := os.Stat(announced)
		if err != nil {
			return err
		}
		if before != nil && os.SameFile(before, now) {
			return errors.New("dev.json is of an earlier run")
		}
		content, err := os.ReadFile(announced)
		if err != nil {
			return err
		}
		return json.Unmarshal(content, &d.Ready)
	})
	return d
}

// Client returns a client with the admin token.
func (d *Dev) Client() *meridian.Client { return meridian.New(d.URL, d.AdminToken) }

// Run runs a meridian command against the deployment.
func (d *Dev) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Run(t, append([]string{"--dir", d.Dir}, args...)...)
}

// RegionFile is a file or folder of one of several regions.
func (d *Dev) RegionFile(region string, parts ...string) string {
	return filepath.Join(append([]string{d.Dir, "regions", region}, parts...)...)
}

// Node describes a further node of a region, with the configuration of the
// region's authz process but for its folder, its port, and what change does.
func (d *Dev) Node(t testing.TB, region string, change func(config map[string]any)) *Node {
	t.Helper()
	content, err := os.ReadFile(d.RegionFile(region, "authz.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	n := &Node{Address: address, DataDir: filepath.Join(dir, "data"), config: filepath.Join(dir, "node.yaml")}
	config["data_dir"] = n.DataDir
	config["server"] = map[string]any{"listen": address}
	if change != nil {
		change(config)
	}
	if content, err = yaml.Marshal(config); err != nil {
		t.Fatal(err)
	}
	write(t, n.config, string(content))
	return n
}

// ServiceURL is where a service of one of several regions answers by itself.
func (d *Dev) ServiceURL(t testing.TB, region, service string) string {
	t.Helper()
	var config struct {
		Server struct {
			Listen string `yaml:"listen"`
		} `yaml:"server"`
	}
	content, err := os.ReadFile(d.RegionFile(region, service+".yaml"))
	if err == nil {
		err = yaml.Unmarshal(content, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + config.Server.Listen
}

// KillService ends a service of one of several regions without a warning.
func (d *Dev) KillService(t testing.TB, region, service string) {
	t.Helper()
	config := d.RegionFile(region, service+".yaml")
	running, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range running {
		line, err := os.ReadFile(path)
		if err != nil || !slices.Contains(strings.Split(string(line), "\x00"), config) {
			continue // it has ended, or is another program
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nobody runs with %s", config)
}

// BusURL is where the services of one of several regions reach their NATS.
func (d *Dev) BusURL(t testing.TB, region string) string {
	t.Helper()
	content, err := os.ReadFile(d.RegionFile(region, "authz.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Bus struct {
			URL string `yaml:"url"`
		} `yaml:"bus"`
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	return config.Bus.URL
}

package infra_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"
)

const composeFolder = "../../infra/compose"

// regions of the compose file, the platform's home first.
func regions() []string { return []string{"us-east", "eu-west", "ap-south"} }

// compose is what infra/compose/compose.yaml uses of Compose. Anything else in
// it is a mistake, or to be added here.
type compose struct {
	Name       string               `yaml:"name"`
	Services   map[string]container `yaml:"services"`
	Networks   map[string]network   `yaml:"networks"`
	Volumes    map[string]struct{}  `yaml:"volumes"`
	Extensions map[string]any       `yaml:",inline"`
}

type network struct {
	Name     string `yaml:"name"`
	Internal bool   `yaml:"internal"`
}

type container struct {
	Image         string               `yaml:"image"`
	Build         build                `yaml:"build"`
	ContainerName string               `yaml:"container_name"`
	Hostname      string               `yaml:"hostname"`
	Profiles      []string             `yaml:"profiles"`
	Entrypoint    []string             `yaml:"entrypoint"`
	Command       []string             `yaml:"command"`
	Environment   map[string]string    `yaml:"environment"`
	User          string               `yaml:"user"`
	DependsOn     map[string]condition `yaml:"depends_on"`
	Networks      []string             `yaml:"networks"`
	NetworkMode   string               `yaml:"network_mode"`
	Ports         []string             `yaml:"ports"`
	Volumes       []string             `yaml:"volumes"`
	Tmpfs         []string             `yaml:"tmpfs"`
	Restart       string               `yaml:"restart"`
	ReadOnly      bool                 `yaml:"read_only"`
	CapDrop       []string             `yaml:"cap_drop"`
	SecurityOpt   []string             `yaml:"security_opt"`
	StopGrace     string               `yaml:"stop_grace_period"`
	Logging       map[string]any       `yaml:"logging"`
	Healthcheck   healthcheck          `yaml:"healthcheck"`
	Deploy        deploy               `yaml:"deploy"`
}

type build struct {
	Context    string `yaml:"context"`
	Dockerfile string `yaml:"dockerfile"`
	Target     string `yaml:"target"`
}

type condition struct {
	Condition string `yaml:"condition"`
}

type healthcheck struct {
	Test        []string `yaml:"test"`
	Interval    string   `yaml:"interval"`
	Timeout     string   `yaml:"timeout"`
	Retries     int      `yaml:"retries"`
	StartPeriod string   `yaml:"start_period"`
}

type deploy struct {
	Resources struct {
		Limits struct {
			CPUs   string `yaml:"cpus"`
			Memory string `yaml:"memory"`
		} `yaml:"limits"`
	} `yaml:"resources"`
}

// once says that a container is to end: a step of the set-up, or a tool.
func (c container) once() bool { return c.Restart == "" }

func loadCompose(t *testing.T) compose {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(composeFolder, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	var c compose
	if err := decoder.Decode(&c); err != nil {
		t.Fatal(err)
	}
	for key := range c.Extensions {
		if !strings.HasPrefix(key, "x-") {
			t.Errorf("unknown key %s", key)
		}
	}
	return c
}

func TestComposeNamesWhatExists(t *testing.T) {
	c := loadCompose(t)
	mounted := make(map[string]bool)
	for name, s := range c.Services {
		for on, how := range s.DependsOn {
			other, declared := c.Services[on]
			if !declared {
				t.Errorf("%s depends on %s, which is no service", name, on)
			}
			switch how.Condition {
			case "service_started":
			case "service_healthy":
				if len(other.Healthcheck.Test) == 0 {
					t.Errorf("%s waits for the health of %s, which has no check", name, on)
				}
			case "service_completed_successfully":
				if !other.once() {
					t.Errorf("%s waits for the end of %s, which does not end", name, on)
				}
			default:
				t.Errorf("%s: condition %q", name, how.Condition)
			}
		}
		for _, n := range s.Networks {
			if _, declared := c.Networks[n]; !declared {
				t.Errorf("%s is in network %s, which is not declared", name, n)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(source, ".") {
				if _, err := os.Stat(filepath.Join(composeFolder, source)); err != nil {
					t.Errorf("%s mounts %v", name, err)
				}
				if !strings.HasSuffix(v, ":ro") {
					t.Errorf("%s can write to %s", name, source)
				}
				continue
			}
			mounted[source] = true
			if _, declared := c.Volumes[source]; !declared {
				t.Errorf("%s mounts %s, which is not declared", name, source)
			}
		}
		if s.Build != (build{}) {
			if _, err := os.Stat(filepath.Join(composeFolder, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s is built from %v", name, err)
			}
		}
	}
	for volume := range c.Volumes {
		if !mounted[volume] {
			t.Errorf("nobody mounts %s", volume)
		}
	}
}

// What a container is given to read must be there: the arguments and settings
// that name files of the configuration folder.
func TestComposeNamesMountedFiles(t *testing.T) {
	for name, s := range loadCompose(t).Services {
		for _, argument := range slices.Concat(s.Entrypoint, s.Command) {
			for _, path := range regexp.MustCompile(`/etc/(?:meridian|nats)/[\w.-]+`).FindAllString(argument, -1) {
				if !slices.ContainsFunc(s.Volumes, func(v string) bool {
					source, at, _ := strings.Cut(strings.TrimSuffix(v, ":ro"), ":")
					within, err := filepath.Rel(at, path)
					if err != nil || strings.HasPrefix(within, "..") {
						return false
					}
					_, err = os.Stat(filepath.Join(composeFolder, source, within))
					return err == nil
				}) {
					t.Errorf("%s has no %s", name, path)
				}
			}
		}
	}
}

// An image is pinned to a release, and NATS to the one that the tests here run.
func TestComposePinsImages(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9/-]+:v?\d+\.\d+\.\d+(-alpine)?$`)
	c := loadCompose(t)
	for name, s := range c.Services {
		built := s.Build != build{}
		if built && !strings.HasSuffix(s.Image, ":compose") || !built && !pinned.MatchString(s.Image) {
			t.Errorf("%s has image %s, which is not pinned", name, s.Image)
		}
	}
	if want := "nats:" + server.VERSION + "-alpine"; c.Services["us-east-nats-1"].Image != want {
		t.Errorf("image of NATS is %s, tests run %s", c.Services["us-east-nats-1"].Image, want)
	}
	dockerfile, err := os.ReadFile(filepath.Join(composeFolder, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := make(map[string]bool)
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`).FindAllStringSubmatch(string(dockerfile), -1) {
		targets[from[2]] = true
		if from[1] != "scratch" && !pinned.MatchString(from[1]) {
			t.Errorf("the Dockerfile starts from %s, which is not pinned", from[1])
		}
	}
	for name, s := range c.Services {
		if s.Build.Target != "" && !targets[s.Build.Target] {
			t.Errorf("%s is built to %s, which the Dockerfile does not have", name, s.Build.Target)
		}
	}
}

func TestComposeContainers(t *testing.T) {
	c := loadCompose(t)
	for name, s := range c.Services {
		if s.once() {
			continue
		}
		if len(s.Healthcheck.Test) == 0 || s.Deploy.Resources.Limits.CPUs == "" || s.Deploy.Resources.Limits.Memory == "" {
			t.Errorf("%s has no health check or no limits", name)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s may do more than its work", name)
		}
		if s.ContainerName != name { // region.sh, and names after `docker network connect`
			t.Errorf("%s has container_name %s", name, s.ContainerName)
		}
		for _, v := range s.Volumes {
			if source, _, _ := strings.Cut(v, ":"); source == "authority" || source == "operator" ||
				strings.HasSuffix(source, "-secrets") && !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s mounts %s", name, v)
			}
		}
	}
}

// From this machine, one door for each region and the console; from region to
// region, databases, NATS and the services that take writes.
func TestComposeNetworks(t *testing.T) {
	c := loadCompose(t)
	published := make(map[string][]string)
	var between []string
	for name, s := range c.Services {
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s beyond this machine", name, p)
			}
			published[name] = append(published[name], p)
		}
		own, _ := regionOf(name)
		for _, n := range s.Networks {
			if n == "interregion" {
				between = append(between, name)
			} else if own != "" && n != own {
				t.Errorf("%s is in network %s", name, n)
			}
		}
	}
	if want := map[string][]string{
		"us-east-cockroach": {"127.0.0.1:8100:8080"}, "us-east-edge": {"127.0.0.1:8101:8080"},
		"eu-west-edge": {"127.0.0.1:8102:8080"}, "ap-south-edge": {"127.0.0.1:8103:8080"},
	}; !cmp.Equal(published, want) {
		t.Error(cmp.Diff(want, published))
	}

	// region.sh must cut all of them, and heal the network by its name.
	script, err := os.ReadFile(filepath.Join(composeFolder, "region.sh"))
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`for part in (.*); do`).FindSubmatch(script)
	if parts == nil || !bytes.Contains(script, []byte(" "+c.Networks["interregion"].Name+" ")) {
		t.Fatal("region.sh does not name the parts, or the network")
	}
	var want []string
	for _, region := range regions() {
		for part := range strings.FieldsSeq(string(parts[1])) {
			want = append(want, region+"-"+part)
		}
	}
	slices.Sort(between)
	slices.Sort(want)
	if !slices.Equal(between, want) {
		t.Errorf("region.sh cuts %v, between the regions are %v", want, between)
	}
}

// regionOf splits the name of a region's service.
func regionOf(name string) (region, part string) {
	for _, r := range regions() {
		if part, ok := strings.CutPrefix(name, r+"-"); ok {
			return r, part
		}
	}
	return "", name
}

// peers are where the services of each region are.
func peers() map[string]any {
	out := make(map[string]any)
	for _, r := range regions() {
		out[r] = map[string]any{"identity": "https://" + r + "-identity:8443", "authz": "https://" + r + "-authz:8443"}
	}
	return out
}

// What one region has, the others have, too.
func TestComposeRegionsAreAlike(t *testing.T) {
	c := loadCompose(t)
	shapes := make(map[string]map[string]string) // region → part → YAML without its name
	for name, s := range c.Services {
		region, part := regionOf(name)
		if region == "" {
			continue
		}
		if part == "cockroach" {
			s.Ports = nil // the console is published once
			s.Command = slices.DeleteFunc(slices.Clone(s.Command), sameEverywhere)
		}
		if shapes[region] == nil {
			shapes[region] = make(map[string]string)
		}
		s.Environment = without(s.Environment, "NATS_GATEWAYS")
		shapes[region][part] = nameless(t, region, s)
	}
	for _, region := range regions() {
		var configuration map[string]any
		content, err := os.ReadFile(filepath.Join(composeFolder, "config", region+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(content, &configuration); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(configuration["regions"]); got != fmt.Sprint(regions()) {
			t.Errorf("%s has regions %s", region, got)
		}
		delete(configuration, "regions")
		if got := fmt.Sprint(configuration["peers"]); got != fmt.Sprint(peers()) {
			t.Errorf("%s has peers %s", region, got)
		}
		delete(configuration, "peers")
		shapes[region]["configuration"] = nameless(t, region, configuration)
	}
	for _, region := range regions()[1:] {
		if diff := cmp.Diff(shapes["us-east"], shapes[region]); diff != "" {
			t.Errorf("us-east and %s differ:\n%s", region, diff)
		}
	}
}

// sameEverywhere says whether an argument of CockroachDB names all regions.
func sameEverywhere(argument string) bool { return strings.HasPrefix(argument, "--join=") }

func without(environment map[string]string, name string) map[string]string {
	out := make(map[string]string, len(environment))
	for k, v := range environment {
		if k != name {
			out[k] = v
		}
	}
	return out
}

// nameless returns a value as YAML with the region's name and port taken out.
func nameless(t *testing.T, region string, value any) string {
	t.Helper()
	content, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(8101 + slices.Index(regions(), region))
	return strings.NewReplacer(region, "REGION", "127.0.0.1:"+port, "PORT").Replace(string(content))
}

// Secrets are made on the user's machine; none is in a file of ours.
func TestComposeHoldsNoSecrets(t *testing.T) {
	secret := regexp.MustCompile(`-----BEGIN|://[^/\s:]+:[^@\s%$]+@|(?i)password["']?\s*[:=]\s*["']?[a-z0-9]`)
	files := 0
	err := filepath.WalkDir(composeFolder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if found := secret.Find(content); found != nil {
			t.Errorf("%s: %s", path, found)
		}
		return err
	})
	if err != nil || files < 9 {
		t.Fatalf("looked at %d files, %v", files, err)
	}
	for name, s := range loadCompose(t).Services {
		for variable := range s.Environment {
			if regexp.MustCompile(`PASSWORD|SECRET|TOKEN$|_KEY$`).MatchString(variable) && variable != "NATS_TLS_KEY" {
				t.Errorf("%s has %s in its environment", name, variable)
			}
		}
	}
}

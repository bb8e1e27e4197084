package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/config"
	"github.com/meridian-iam/meridian/pkg/region"
)

// Staging is a deployment that runs elsewhere: where it is, and the commands
// with which its operator breaks and heals it.
type Staging struct {
	// Regions, the platform's home first. At least two.
	Regions []StagingRegion `yaml:"regions"`
	// Delays are one way, by the names of two regions, as "us-east eu-west: 40ms";
	// absent: not known.
	Delays map[string]time.Duration `yaml:"delays"`
	// TokenFile holds an API token of the platform, of level admin. Required.
	TokenFile string `yaml:"token_file"`
	// Database is its name and version, for the report.
	Database string `yaml:"database"`
	// Break and Heal are shell commands by the names of drills. They find the
	// region in REGION and the drill in DRILL, and must end when it is done.
	Break map[string]string `yaml:"break"`
	Heal  map[string]string `yaml:"heal"`
}

// StagingRegion is a region of a Staging.
type StagingRegion struct {
	Name string `yaml:"name"`
	// URL is where it answers. Required.
	URL string `yaml:"url"`
	// Audits are where all its services answer to log verify; absent: URL.
	Audits []string `yaml:"audits"`
}

// commandBound is how long a command may take.
const commandBound = 10 * time.Minute

// Open reads a Staging from a file. said gets what its commands print.
//
// Errors: a setting that is missing or wrong, named.
func Open(path string, said io.Writer) (Target, error) {
	var s Staging
	if err := config.Load(path, &s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	token, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("%s: token_file: %w", path, err)
	}
	return &staging{Staging: s, token: strings.TrimSpace(string(token)), said: said}, nil
}

func (s Staging) check() error {
	if len(s.Regions) < 2 {
		return errors.New("regions: a drill needs two at least")
	}
	for i, r := range s.Regions {
		if err := region.Check(r.Name); err != nil {
			return fmt.Errorf("regions[%d].name: %w", i, err)
		}
		if r.URL == "" {
			return fmt.Errorf("regions[%d].url: is required", i)
		}
	}
	for name := range s.Break {
		if _, err := Find(name); err != nil {
			return fmt.Errorf("break: %w", err)
		}
		if s.Heal[name] == "" {
			return fmt.Errorf("heal: %s has a command in break and none here", name)
		}
	}
	if len(s.Break) == 0 {
		return errors.New("break: no drill has a command")
	}
	return nil
}

// staging implements Target by calls and commands.
type staging struct {
	Staging

	token string
	said  io.Writer
}

// Regions implements Target.
func (s *staging) Regions() []string {
	var out []string
	for _, r := range s.Staging.Regions {
		out = append(out, r.Name)
	}
	return out
}

// Token implements Target.
func (s *staging) Token() string { return s.token }

// Database implements Target.
func (s *staging) Database() string { return s.Staging.Database }

// URLs implements Target.
func (s *staging) URLs(from string) []string {
	regions := slices.Clone(s.Staging.Regions)
	slices.SortStableFunc(regions, func(a, b StagingRegion) int { return int(s.Delay(from, a.Name) - s.Delay(from, b.Name)) })
	var out []string
	for _, r := range regions {
		if r.Name == from { // the nearest, also where delays are not known
			out = slices.Insert(out, 0, r.URL)
		} else {
			out = append(out, r.URL)
		}
	}
	return out
}

// Audits implements Target.
func (s *staging) Audits(of string) []string {
	for _, r := range s.Staging.Regions {
		if r.Name == of && len(r.Audits) > 0 {
			return r.Audits
		}
	}
	return s.URLs(of)[:1]
}

// Delay implements Target.
func (s *staging) Delay(from, to string) time.Duration {
	return max(s.Delays[from+" "+to], s.Delays[to+" "+from])
}

// Break implements Target.
func (s *staging) Break(ctx context.Context, scenario, region string, _ func(string)) error {
	return s.command(ctx, s.Staging.Break[scenario], scenario, region)
}

// Heal implements Target.
func (s *staging) Heal(ctx context.Context, scenario, region string) error {
	return s.command(ctx, s.Staging.Heal[scenario], scenario, region)
}

func (s *staging) command(ctx context.Context, command, scenario, region string) error {
	if command == "" {
		return fmt.Errorf("the target has no command for %s", scenario)
	}
	ctx, cancel := context.WithTimeout(ctx, commandBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "REGION="+region, "DRILL="+scenario)
	cmd.Stdout, cmd.Stderr = s.said, s.said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("command of %s: %w", scenario, err)
	}
	return nil
}

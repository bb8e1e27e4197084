package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// engine starts one kind of database.
type engine interface {
	start(ctx context.Context, o Options) (*Server, error)
}

const (
	cockroachFolder  = "cockroach"
	postgresqlFolder = "postgresql"
	// clusterData is what writtenBy calls data of a cluster, which is below
	// cockroachFolder too.
	clusterData = "cluster"
)

// findEngine looks in the order of the package's documentation.
func findEngine(ctx context.Context, o Options) (engine, error) {
	written := writtenBy(o.Dir)
	if written == clusterData {
		return nil, fmt.Errorf("%s holds data of a CockroachDB with a node in each of %s: start it with these regions",
			o.Dir, strings.Join(stores(o.Dir), ", "))
	}
	if written != postgresqlFolder {
		binary, err := findCockroach()
		if err != nil {
			return nil, err
		}
		if binary != "" {
			return cockroach{binary: binary}, nil
		}
		if written == cockroachFolder {
			return nil, noCockroach(o.Dir)
		}
	}
	if bin := findPostgres(o.Dir); bin != "" {
		return postgres{bin: bin}, nil
	}
	bin, err := download(ctx, o.Log)
	if err != nil {
		return nil, fmt.Errorf("no cockroach and no PostgreSQL found, and the download failed: %w", err)
	}
	return postgres{bin: bin}, nil
}

func noCockroach(dir string) error {
	return fmt.Errorf("%s holds data of CockroachDB, and there is no cockroach on PATH", dir)
}

// writtenBy returns the folder of the database whose data dir holds, clusterData,
// or "".
func writtenBy(dir string) string {
	for _, folder := range []string{postgresqlFolder, cockroachFolder} {
		if _, err := os.Stat(filepath.Join(dir, folder, dataFolder)); err == nil {
			return folder
		}
	}
	if len(stores(dir)) > 0 {
		return clusterData
	}
	return ""
}

func findCockroach() (string, error) {
	if named := os.Getenv("COCKROACH_BINARY"); named != "" {
		binary, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("COCKROACH_BINARY: %w", err)
		}
		return filepath.Abs(binary)
	}
	binary, err := exec.LookPath("cockroach")
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	return binary, err
}

// findPostgres returns the folder with initdb and postgres, or "". Data in dir
// decides the major version; else PATH goes first, then the newest.
func findPostgres(dir string) string {
	var folders []string
	if postgres, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(postgres); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well-formed
	slices.SortFunc(installed, func(a, b string) int { return major(b) - major(a) })
	folders = append(folders, installed...)
	want, _ := os.ReadFile(filepath.Join(dir, postgresqlFolder, dataFolder, "PG_VERSION"))
	first := ""
	for _, folder := range folders {
		if !executable(folder, "initdb") || !executable(folder, "postgres") {
			continue
		}
		if first == "" {
			first = folder
		}
		if strconv.Itoa(major(folder))+"\n" == string(want) {
			return folder
		}
	}
	return first
}

// major reads the version out of /usr/lib/postgresql/15/bin; 0 when it is not
// of this form.
func major(folder string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	if err != nil {
		return 0
	}
	return n
}

func executable(folder, name string) bool {
	info, err := os.Stat(filepath.Join(folder, name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

package arch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Module is what the import paths of all our packages begin with.
const Module = "github.com/meridian-iam/meridian/"

// Package is what `go list` says about one package. All fields hold full
// import paths.
type Package struct {
	ImportPath string   `json:"ImportPath"`
	Imports    []string `json:"Imports"` // of the package itself
	// TestImports and XTestImports are those of its tests.
	TestImports  []string `json:"TestImports"`
	XTestImports []string `json:"XTestImports"`
	// Deps is everything that the package pulls in, its imports' imports too.
	Deps []string `json:"Deps"`
}

// List returns the packages of the workspace whose root is dir.
//
// Errors: whatever makes `go list` fail, with its own words.
func List(ctx context.Context, dir string) ([]Package, error) {
	command := exec.CommandContext(ctx, "go", "list",
		"-json=ImportPath,Imports,TestImports,XTestImports,Deps", "work")
	command.Dir = dir
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list work: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return decode(bytes.NewReader(out))
}

// decode reads the stream of JSON objects that `go list -json` prints.
func decode(r io.Reader) ([]Package, error) {
	var packages []Package
	for d := json.NewDecoder(r); ; {
		var p Package
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("decode go list output: %w", err)
		}
		packages = append(packages, p)
	}
}

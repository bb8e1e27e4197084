// Package demo holds the demo model, five modules that five product teams own,
// and the relationships of a demo organization.
package demo

import (
	"embed"
	"io"
	"io/fs"
	"strings"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

//go:embed model
var model embed.FS

//go:embed relationships.csv
var relationships string

// Name is the demo model's name.
const Name = "cloud"

// Slug is the demo organization's slug.
const Slug = "acme"

// Model returns the demo model's files.
func Model() ([]*authzv1.ModelFile, error) {
	entries, err := fs.ReadDir(model, "model")
	if err != nil {
		return nil, err
	}
	files := make([]*authzv1.ModelFile, 0, len(entries))
	for _, e := range entries {
		content, err := fs.ReadFile(model, "model/"+e.Name())
		if err != nil {
			return nil, err
		}
		files = append(files, &authzv1.ModelFile{Path: e.Name(), Content: string(content)})
	}
	return files, nil
}

// Relationships returns the demo organization's relationships as CSV.
func Relationships() io.Reader { return strings.NewReader(relationships) }

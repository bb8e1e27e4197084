package authzcore

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	openfgav1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"
)

// Limits of a model.
const (
	maxModelBytes = 256 << 10
	maxModelTypes = 500
	maxModelFiles = 100
	maxPathBytes  = 1024
	// maxManifestBytes: the time to read an fga.mod grows with its square.
	maxManifestBytes = 16 << 10
	maxRewriteDepth  = 50
	maxProblems      = 100
	manifestName     = "fga.mod"
)

// reader collects a model from files.
type reader struct {
	ctx      context.Context //nolint:containedctx // lives as long as one call
	schema   *schema
	problems []Problem
	sources  map[string]*source
}

// failure lists the problems in order.
func (r *reader) failure() error {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		if c := compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &ModelError{Problems: r.problems}
}

func (r *reader) report(p Problem) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, p)
	}
}

// readFiles parses one whole model or fga.mod and its modules.
func (r *reader) readFiles(files []File) {
	r.schema = &schema{byName: map[string]*typeDef{}, conditions: map[string]*condition{}}
	r.sources = map[string]*source{}
	if !r.bounded(files) {
		return
	}
	manifest := slices.IndexFunc(files, func(f File) bool { return path.Base(f.Path) == manifestName })
	switch {
	case manifest >= 0:
		r.readModules(files[manifest], slices.Concat(files[:manifest], files[manifest+1:]))
	case len(files) != 1:
		r.report(Problem{Message: "several files need an fga.mod that lists them"})
	default:
		r.readWhole(files[0])
	}
	if len(r.problems) == 0 && len(r.schema.types) == 0 {
		r.report(Problem{File: files[0].Path, Line: 1, Column: 1, Message: "the model has no type"})
	}
	if len(r.schema.types) > maxModelTypes {
		r.report(Problem{Message: fmt.Sprintf("a model has at most %d types", maxModelTypes)})
	}
}

func (r *reader) bounded(files []File) bool {
	total := 0
	seen := map[string]bool{}
	for i, f := range files {
		total += len(f.Content)
		if !printable(f.Path) {
			// The path is not repeated: it may be made to deceive whoever reads it.
			r.report(Problem{Message: fmt.Sprintf("the path of file %d has control or invisible characters, or is longer than %d bytes", i+1, maxPathBytes)})
			return false
		}
		if seen[f.Path] {
			r.report(Problem{File: f.Path, Message: "the file is given twice"})
		}
		seen[f.Path] = true
	}
	switch {
	case len(files) == 0:
		r.report(Problem{Message: "no file given"})
	case len(files) > maxModelFiles:
		r.report(Problem{Message: fmt.Sprintf("a model has at most %d files", maxModelFiles)})
	case total > maxModelBytes:
		r.report(Problem{Message: fmt.Sprintf("a model has at most %d bytes in all its files", maxModelBytes)})
	}
	return len(r.problems) == 0
}

// printable says whether a path can be shown to people as it is.
func printable(path string) bool {
	hidden := func(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
	return len(path) <= maxPathBytes && utf8.ValidString(path) && !strings.ContainsFunc(path, hidden)
}

func (r *reader) readWhole(f File) {
	s, parsed := r.parse(f)
	if parsed == nil {
		return
	}
	version := parsed.GetSchemaVersion()
	if s.module != "" {
		r.report(s.header.problem("a module needs an fga.mod that lists it"))
		return
	}
	if version != "1.1" && version != "1.2" {
		at, found := s.find(func(definition) bool { return false }, 0)
		for i, line := range s.lines {
			if c := strings.Index(line, "schema"); c >= 0 && !found {
				at, found = s.at(i, c), true
			}
		}
		r.report(at.problem(fmt.Sprintf("schema %s is not supported: use 1.1 or 1.2", version)))
		return
	}
	r.schema.version = version
	r.addTypes(s, parsed)
}

// readModules parses the modules that the manifest lists, in the order of
// their paths, types before extensions.
func (r *reader) readModules(manifest File, modules []File) {
	listed, ok := r.readManifest(manifest)
	if !ok {
		return
	}
	r.schema.version = "1.2"
	base := path.Dir(manifest.Path)
	var parsed []*openfgav1.AuthorizationModel
	var sources []*source
	slices.SortFunc(modules, func(a, b File) int { return compare(a.Path, b.Path) })
	for _, f := range modules {
		name := strings.TrimPrefix(f.Path, base+"/")
		if !listed[f.Path] && !listed[name] {
			r.report(Problem{File: f.Path, Message: "fga.mod does not list this file"})
			continue
		}
		delete(listed, f.Path)
		delete(listed, name)
		s, p := r.parse(f)
		if p == nil {
			continue
		}
		if s.module == "" {
			at := s.header
			at.file = f.Path
			r.report(at.problem("the file must begin with a module header"))
			continue
		}
		sources, parsed = append(sources, s), append(parsed, p)
	}
	for name := range listed {
		r.report(Problem{File: manifest.Path, Message: fmt.Sprintf("file %s is listed but not given", name)})
	}
	for i, p := range parsed {
		r.addTypes(sources[i], p)
	}
	for i, p := range parsed {
		r.addExtensions(sources[i], p)
	}
}

func (r *reader) readManifest(f File) (listed map[string]bool, ok bool) {
	defer func() {
		if recover() != nil {
			r.report(Problem{File: f.Path, Line: 1, Column: 1, Message: "the file is not a valid fga.mod"})
			listed, ok = nil, false
		}
	}()
	if len(f.Content) > maxManifestBytes {
		r.report(Problem{File: f.Path, Message: fmt.Sprintf("an fga.mod has at most %d bytes", maxManifestBytes)})
		return nil, false
	}
	// Each key needs one of these; the time grows with the square of the keys.
	if strings.Count(f.Content, ":")+strings.Count(f.Content, ",")+strings.Count(f.Content, "?") > 4*maxModelFiles {
		r.report(Problem{File: f.Path, Message: "the file has too many keys or list entries"})
		return nil, false
	}
	mod, err := transformer.TransformModFile(f.Content)
	if err != nil {
		r.libraryProblems(f.Path, nil, err)
		return nil, false
	}
	listed = map[string]bool{}
	for _, c := range mod.Contents.Value {
		if listed[c.Value] {
			r.report(Problem{File: f.Path, Line: c.Line + 1, Column: c.Column + 1, Message: fmt.Sprintf("file %s is listed twice", c.Value)})
		}
		listed[c.Value] = true
	}
	return listed, true
}

// parse runs the language's parser over one file. It returns nil after having
// reported problems.
func (r *reader) parse(f File) (s *source, parsed *openfgav1.AuthorizationModel) {
	s = indexSource(f)
	if r.ctx.Err() != nil {
		return s, nil
	}
	r.sources[f.Path] = s
	if at, odd := s.oddBreak(); odd {
		r.report(at.problem("lines must end with a line feed, with or without a carriage return before it"))
		return s, nil
	}
	if at, deep := s.nesting(maxRewriteDepth); deep {
		r.report(at.problem(fmt.Sprintf("parentheses nest deeper than %d, or deep in too many places", maxRewriteDepth)))
		return s, nil
	}
	defer func() {
		// The parser walks the tree of a broken file too, and may stumble.
		if recover() != nil {
			r.report(Problem{File: f.Path, Line: 1, Column: 1, Message: "the file cannot be parsed"})
			parsed = nil
		}
	}()
	text, kept := s.text()
	parsed, _, err := transformer.TransformModularDSLToProto(text)
	if err != nil {
		r.libraryProblems(f.Path, kept, err)
		return s, nil
	}
	if len(parsed.GetTypeDefinitions()) > maxModelTypes {
		r.report(Problem{File: f.Path, Message: fmt.Sprintf("a model has at most %d types", maxModelTypes)})
		return s, nil
	}
	return s, parsed
}

// librarySays finds places in the parser's messages; its lines and columns are
// 0-based and not exported.
var librarySays = regexp.MustCompile(`(?s)line=(-?\d+), column=(-?\d+): (.*)$`)

// libraryProblems reports what the parser says of a file. kept has the numbers
// of the lines that it was given; nil for all.
func (r *reader) libraryProblems(file string, kept []int, err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			r.libraryProblems(file, kept, e)
		}
		return
	}
	p := Problem{File: file, Line: 1, Column: 1, Message: err.Error()}
	if m := librarySays.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		column, _ := strconv.Atoi(m[2])
		line = max(line, 0)
		if len(kept) > 0 {
			line = kept[min(line, len(kept)-1)]
		}
		p.Line, p.Column, p.Message = line+1, max(column, 0)+1, m[3]
	}
	r.report(p)
}

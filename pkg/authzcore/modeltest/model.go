package modeltest

import (
	"errors"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

const manifestName = "fga.mod"

// model is a compiled model with the places of its sources.
type model struct {
	files   []authzcore.File
	sources map[string]*source // by the path in files
	// names are the model's own, so that those of tests stay in the tests.
	names    *authzcore.Names
	compiled *authzcore.Model
}

// source is a file of a model, or the text of one inside a store file.
type source struct {
	shown string
	// line and column are added to those in the text. fixed: the lines of the
	// text are not those of the file, and all stands on line.
	line, column int
	fixed        bool
}

// place returns where a line of the text stands; both are 1-based.
func (s *source) place(line int) Place {
	if s.fixed {
		return Place{File: s.shown, Line: s.line}
	}
	return Place{File: s.shown, Line: line + s.line}
}

func (s *source) problem(p authzcore.Problem) authzcore.Problem {
	p.File = s.shown
	switch {
	case s.fixed:
		p.Line, p.Column = s.line, 0
	case p.Line > 0:
		p.Line += s.line
		if p.Column > 0 {
			p.Column += s.column
		}
	}
	return p
}

// readModel reads and compiles the model of a store file.
func (r *reader) readModel(root *yaml.Node, values map[string]*yaml.Node, content []byte) bool {
	inline, file := values["model"], values["model_file"]
	m := &model{sources: map[string]*source{}, names: authzcore.NewNames()}
	switch {
	case inline != nil && file != nil:
		r.refusef(file, "the store has a model already on line %d: give model or model_file", inline.Line)
		return false
	case inline != nil:
		text, ok := r.text(inline, "model")
		if !ok {
			return false
		}
		name := filepath.ToSlash(r.file)
		m.files = []authzcore.File{{Path: name, Content: text}}
		m.sources[name] = inlineSource(r.file, resolve(inline), content)
	case file != nil:
		if !r.modelFile(m, file) {
			return false
		}
	default:
		r.refusef(root, "the store needs model or model_file")
		return false
	}
	return r.compile(m)
}

// inlineSource finds where the text of a literal block stands in its file.
func inlineSource(file string, n *yaml.Node, content []byte) *source {
	s := &source{shown: file, line: n.Line, fixed: n.Style&yaml.LiteralStyle == 0}
	lines := strings.Split(string(content), "\n")
	for i, text := range strings.Split(n.Value, "\n") {
		if at := n.Line + i; strings.TrimSpace(text) != "" && at < len(lines) {
			s.column = max(len(strings.TrimRight(lines[at], "\r"))-len(strings.TrimRight(text, "\r")), 0)
			break
		}
	}
	return s
}

// modelFile reads the file that model_file names; with fga.mod, its modules.
func (r *reader) modelFile(m *model, n *yaml.Node) bool {
	name, ok := r.text(n, "model_file")
	if !ok {
		return false
	}
	add := func(refuse func(error), name, file string) ([]byte, bool) {
		content, err := r.folder.content(name)
		if err != nil {
			refuse(err)
			return nil, false
		}
		m.files = append(m.files, authzcore.File{Path: file, Content: string(content)})
		m.sources[file] = &source{shown: r.folder.path(name)}
		return content, true
	}
	name = path.Clean(name)
	content, ok := add(func(err error) { r.refusef(n, "%v", err) }, name, name)
	if !ok || path.Base(name) != manifestName {
		if ok && path.Ext(name) == ".json" {
			r.refusef(n, "a model in JSON is not supported: write it in the language (.fga)")
		}
		return ok && path.Ext(name) != ".json"
	}
	d := &document{file: r.folder.path(name), found: r.found}
	root := d.parseYAML(content)
	if root == nil {
		return false
	}
	base := path.Dir(name)
	for _, item := range d.items(d.mapping(root, manifestName, "schema", "contents")["contents"], "contents") {
		listed, isText := d.text(item, "a module")
		if !isText {
			return false
		}
		file := listed
		if base != "." {
			file = base + "/" + listed
		}
		if path.IsAbs(listed) {
			d.refusef(item, "file %s is outside the store's folder", quote(listed))
			ok = false
			continue
		}
		_, read := add(func(err error) { d.refusef(item, "%v", err) }, file, file)
		ok = ok && read
	}
	return ok
}

// compile makes the store's model, or takes that of an earlier store with the
// same files.
func (r *reader) compile(m *model) bool {
	var key strings.Builder
	for _, f := range m.files {
		s := m.sources[f.Path]
		key.WriteString(s.shown + "\x00" + f.Content + "\x00")
	}
	if known := r.loader.models[key.String()]; known != nil {
		r.store.model = known
		return true
	}
	compiled, err := authzcore.CompileContext(r.loader.ctx, m.names, m.files)
	if err != nil {
		r.refuseModel(m, err)
		return false
	}
	m.compiled, r.store.model = compiled, m
	r.loader.models[key.String()] = m
	return true
}

func (r *reader) refuseModel(m *model, err error) {
	invalid, ok := errors.AsType[*authzcore.ModelError](err)
	if !ok {
		r.refuseAtf(0, "%v", err)
		return
	}
	for _, p := range invalid.Problems {
		if s := m.sources[p.File]; s != nil {
			p = s.problem(p)
		} else {
			p.File = r.file
		}
		r.found.add(p)
	}
}

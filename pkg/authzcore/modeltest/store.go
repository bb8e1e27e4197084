package modeltest

import (
	"context"
	"fmt"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// maxTuples and maxCases bound one store file.
const (
	maxTuples = 100_000
	maxCases  = 100_000
)

// store is a store file that was read.
type store struct {
	file, name string
	model      *model
	tuples     []tuple
	tests      []test
}

// test is one test of a store file.
type test struct {
	name      string
	tuples    []tuple
	questions []question
}

// loader reads store files; those of one model share it.
type loader struct {
	ctx    context.Context //nolint:containedctx // lives as long as one call
	around string
	found  problems
	models map[string]*model
}

// load reads all store files that paths name.
//
// Errors: *FileError with every problem of all of them, what find returns, and
// ctx.Err() when ctx ended first.
func load(ctx context.Context, paths []string, o Options) ([]*store, error) {
	files, err := find(paths)
	if err != nil {
		return nil, err
	}
	l := &loader{ctx: ctx, around: o.Root, models: map[string]*model{}}
	stores := make([]*store, 0, len(files))
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := l.store(file)
		if err != nil {
			return nil, err
		}
		stores = append(stores, s)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return stores, l.found.err()
}

// reader reads one store file.
type reader struct {
	*document

	loader *loader
	folder *folder
	store  *store
	tuples int
	cases  int
}

func (l *loader) store(file string) (*store, error) {
	f, err := openFolder(file, l.around)
	if err != nil {
		return nil, err
	}
	defer f.root.Close() //nolint:errcheck // only read
	r := &reader{
		document: &document{file: filepath.Clean(file), found: &l.found}, loader: l, folder: f,
		store: &store{file: filepath.Clean(file), name: filepath.Base(file)},
	}
	content, err := f.content(filepath.Base(file))
	if err != nil {
		r.refuseAtf(0, "%v", err)
		return r.store, nil
	}
	r.read(content)
	return r.store, nil
}

func (r *reader) read(content []byte) {
	before := len(r.found.list)
	root := r.parseYAML(content)
	if root == nil {
		if len(r.found.list) == before {
			r.refuseAtf(1, "the file is empty")
		}
		return
	}
	values := r.mapping(root, "a store", "name", "model", "model_file", "tuples", "tuple_file", "tuple_files", "tests")
	if name := r.optional(values, "name"); name != "" {
		r.store.name = name
	}
	if !r.readModel(root, values, content) {
		return
	}
	r.store.tuples = r.allTuples(values)
	for i, n := range r.items(values["tests"], "tests") {
		r.store.tests = append(r.store.tests, r.test(n, i))
	}
}

func (r *reader) test(n *yaml.Node, index int) test {
	values := r.mapping(n, "a test", "name", "description", "tuples", "tuple_file", "tuple_files", "check", "list_objects", "list_users")
	r.optional(values, "description")
	t := test{name: r.optional(values, "name")}
	if t.name == "" {
		t.name = fmt.Sprintf("test %d", index+1)
	}
	t.tuples = r.allTuples(values)
	for _, ask := range []struct {
		key  string
		read func(n *yaml.Node) []question
	}{{"check", r.check}, {"list_objects", r.listObjects}, {"list_users", r.listUsers}} {
		for _, n := range r.items(values[ask.key], ask.key) {
			t.questions = append(t.questions, ask.read(n)...)
		}
	}
	return t
}

// words puts the words of the file into an error of the engine.
func words(err error) string {
	switch e := err.(type) { //nolint:errorlint // the engine returns these as they are
	case *authzcore.InputError:
		return word(e.Field) + ": " + e.Detail
	case *authzcore.TypeUnknownError:
		return fmt.Sprintf("%s: the model has no type %q", word(e.Field), e.Type)
	case *authzcore.RelationUnknownError:
		return fmt.Sprintf("%s: type %q has no relation %q", word(e.Field), e.Type, e.Relation)
	case *authzcore.ForbiddenError:
		return word(e.Field) + ": " + e.Detail
	default:
		return err.Error()
	}
}

func word(field string) string {
	switch field {
	case "resource":
		return "object"
	case "subject":
		return "user"
	case "permission":
		return "relation"
	default:
		return field
	}
}

package authzcore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func whole(content string) []authzcore.File {
	return []authzcore.File{{Path: "model.fga", Content: content}}
}

func TestCompileProblems(t *testing.T) {
	const head = "model\n  schema 1.1\ntype user\n"
	deep := "type doc\n  relations\n    define a: [user]\n    define b: " + strings.Repeat("(", 51) + "a" + strings.Repeat(")", 51) + "\n"
	for name, test := range map[string]struct {
		content      string
		line, column int
		message      string
	}{
		"syntax":                        {head + "type doc\n  relations\n    define a [user]\n", 6, 14, "missing"},
		"no type":                       {"model\n  schema 1.1\n", 1, 1, "no type"},
		"old schema":                    {"model\n  schema 1.0\ntype user\n", 2, 3, "schema 1.0"},
		"module alone":                  {"module core\ntype user\n", 1, 1, "fga.mod"},
		"type twice":                    {head + "type doc\ntype doc\n", 5, 6, "defined already"},
		"relation twice":                {head + "type doc\n  relations\n    define a: [user]\n    define a: [user]\n", 7, 12, "already defined"},
		"restriction of no type":        {head + "type doc\n  relations\n    define a: [user, robot]\n", 6, 22, "type robot is not defined"},
		"restriction of no relation":    {head + "type doc\n  relations\n    define a: [user, doc#z]\n", 6, 26, "no relation z"},
		"computed of no relation":       {head + "type doc\n  relations\n    define a: [user] or z\n", 6, 25, "no relation z"},
		"computed of itself":            {head + "type doc\n  relations\n    define a: [user] or a\n", 6, 25, "defined by itself"},
		"computed in a circle":          {head + "type doc\n  relations\n    define a: [user] or b\n    define b: a\n", 6, 12, "made of itself"},
		"from no relation":              {head + "type doc\n  relations\n    define a: x from p\n", 6, 22, "no relation p"},
		"from a computed relation":      {head + "type doc\n  relations\n    define p: [doc]\n    define q: p\n    define a: [user] or a from q\n", 8, 32, "must be direct"},
		"from a userset":                {head + "type doc\n  relations\n    define a: [user] or a from p\n    define p: [doc#a]\n", 7, 16, "only objects"},
		"from a wildcard":               {head + "type doc\n  relations\n    define a: [user] or a from p\n    define p: [doc:*]\n", 7, 16, "only objects"},
		"from, relation unknown there":  {head + "type doc\n  relations\n    define p: [user]\n    define a: [user] or z from p\n", 7, 25, "has a relation z"},
		"no entry":                      {head + "type doc\n  relations\n    define p: [doc]\n    define a: a from p\n", 7, 12, "no relationship can ever"},
		"reserved type":                 {head + "type self\n", 4, 6, "reserved"},
		"reserved relation":             {head + "type doc\n  relations\n    define this: [user]\n", 6, 12, "reserved"},
		"long name":                     {head + "type " + strings.Repeat("d", 65) + "\n", 4, 6, "64 bytes"},
		"extend outside of modules":     {head + "extend type user\n  relations\n    define a: [user]\n", 4, 13, "extend"},
		"nested too deep":               {head + deep, 7, 65, "nest deeper"},
		"mixed operators":               {head + "type doc\n  relations\n    define a: [user]\n    define b: a or a and a\n", 7, 21, ""},
		"form feed":                     {"model\n  schema 1.1\ntype user\ftype doc\n", 3, 10, "line feed"},
		"lone carriage return":          {"model\n  schema 1.1\ntype user\rtype doc\n", 3, 10, "line feed"},
		"carriage returns are accepted": {"model\r\n  schema 1.1\r\ntype user\r\ntype doc\r\n  relations\r\n    define a: [robot]\r\n", 6, 16, "type robot"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authzcore.Compile(authzcore.NewNames(), whole(test.content))
			var invalid *authzcore.ModelError
			if !errors.As(err, &invalid) {
				t.Fatalf("error is %v", err)
			}
			p := invalid.Problems[0]
			if p.File != "model.fga" || p.Line != test.line || p.Column != test.column || !strings.Contains(p.Message, test.message) {
				t.Errorf("problem is %s; want %d:%d %s", p, test.line, test.column, test.message)
			}
		})
	}
}

func TestCompileBounds(t *testing.T) {
	many := "model\n  schema 1.1\n" + strings.Repeat("#", 256<<10)
	types := "model\n  schema 1.1\n"
	for i := range 501 {
		types += "type t" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + string(rune('a'+i/26)) + "\n"
	}
	var chain strings.Builder
	chain.WriteString("model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define r0: [user]\n")
	for i := range 3000 {
		chain.WriteString("    define r" + itoa(i+1) + ": r" + itoa(i) + "\n")
	}
	for name, files := range map[string][]authzcore.File{
		"no file":             nil,
		"too many bytes":      whole(many),
		"too many types":      whole(types),
		"too complex":         whole(chain.String()),
		"two files":           {{Path: "a.fga", Content: "model\n  schema 1.1\ntype user\n"}, {Path: "b.fga"}},
		"one file twice":      {{Path: "a.fga"}, {Path: "a.fga"}},
		"not a manifest":      {{Path: "fga.mod", Content: "\x00"}},
		"manifest of nothing": {{Path: "fga.mod", Content: "schema: '1.2'\ncontents: []\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authzcore.Compile(authzcore.NewNames(), files)
			var invalid *authzcore.ModelError
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
				t.Fatalf("error is %v", err)
			}
		})
	}
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + string(rune('0'+i%10))
}

const (
	manifest = "schema: '1.2'\ncontents:\n  - core.fga\n  - wiki.fga\n"
	core     = "module core\ntype user\ntype organization\n  relations\n    define member: [user] or admin\n    define admin: [user]\n"
	wiki     = "module wiki\nextend type organization\n  relations\n    define can_write: admin\ntype page\n  relations\n    define organization: [organization]\n    define can_read: member from organization\n"
)

func modules(manifest, core, wiki string) []authzcore.File {
	return []authzcore.File{{Path: "fga.mod", Content: manifest}, {Path: "core.fga", Content: core}, {Path: "wiki.fga", Content: wiki}}
}

func TestCompileModules(t *testing.T) {
	m, err := authzcore.Compile(authzcore.NewNames(), modules(manifest, core, wiki))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Types(); !slices.Equal(got, []string{"organization", "page", "user"}) {
		t.Errorf("types are %v", got)
	}
	if got := m.Relations("organization"); !slices.Equal(got, []string{"admin", "can_write", "member"}) {
		t.Errorf("relations are %v", got)
	}
	for name, test := range map[string]struct {
		files    []authzcore.File
		file     string
		line     int
		conflict bool
		message  string
	}{
		"redefined relation": {modules(manifest, core, strings.ReplaceAll(wiki, "can_write: admin", "admin: [user]")), "wiki.fga", 4, true, "module core"},
		"redefined type":     {modules(manifest, core, "module wiki\ntype user\n"), "wiki.fga", 2, true, "module core"},
		"unknown extension":  {modules(manifest, core, "module wiki\nextend type zebra\n  relations\n    define a: [user]\n"), "wiki.fga", 2, false, "nowhere defined"},
		"own extension":      {modules(manifest, core, wiki+"extend type page\n  relations\n    define x: [user]\n"), "wiki.fga", 9, false, "same file"},
		"not listed":         {modules("schema: '1.2'\ncontents:\n  - core.fga\n", core, wiki), "wiki.fga", 0, false, "does not list"},
		"not given":          {modules(manifest+"  - other.fga\n", core, wiki), "fga.mod", 0, false, "other.fga"},
		"listed twice":       {modules(manifest+"  - core.fga\n", core, wiki), "fga.mod", 5, false, "twice"},
		"wrong schema":       {modules("schema: '1.1'\ncontents:\n  - core.fga\n", core, wiki), "fga.mod", 1, false, "1.2"},
		"no module header":   {modules(manifest, core, "model\n  schema 1.1\ntype page\n"), "wiki.fga", 1, false, "module header"},
		"syntax":             {modules(manifest, core, "module wiki\ntype page\n  relation\n"), "wiki.fga", 3, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authzcore.Compile(authzcore.NewNames(), test.files)
			var invalid *authzcore.ModelError
			if !errors.As(err, &invalid) {
				t.Fatalf("error is %v", err)
			}
			p := invalid.Problems[0]
			if p.File != test.file || p.Line != test.line || p.Conflict != test.conflict || !strings.Contains(p.Message, test.message) {
				t.Errorf("problem is %+v", p)
			}
			if invalid.Conflict() != test.conflict {
				t.Errorf("conflict is %v", invalid.Conflict())
			}
		})
	}
}

func TestModelIDIsCanonical(t *testing.T) {
	names := authzcore.NewNames()
	id := func(files []authzcore.File) string {
		m, err := authzcore.Compile(names, files)
		if err != nil {
			t.Fatal(err)
		}
		return m.ID()
	}
	files := modules(manifest, core, wiki)
	want := id(files)
	if len(want) != 36 || !strings.HasPrefix(want, "mdl_") {
		t.Errorf("id is %q", want)
	}
	slices.Reverse(files)
	if got := id(files); got != want {
		t.Errorf("the order of files changes the id to %s", got)
	}
	spaced := "\n\n# a comment\nmodule core\n\n# another\ntype organization\n  relations\n    # why\n    define admin:   [user]\n    define member: [user] or admin # because\n\t# after a tab\ntype user\n"
	if got := id(modules(manifest, spaced, wiki)); got != want {
		t.Errorf("white space, comments or order change the id to %s", got)
	}
	if got := id(modules(manifest, core, strings.ReplaceAll(wiki, "can_write: admin", "can_write: member"))); got == want {
		t.Error("another definition has the same id")
	}
	if got := id(modules(manifest, core, strings.ReplaceAll(wiki, "module wiki", "module wikis"))); got == want {
		t.Error("another owner has the same id")
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(core)
	f.Add(cloudModel(f))
	f.Add("model\n  schema 1.1\ntype a\n  relations\n    define b: [a with c]\ncondition c(x: int) { x > 1 }\n")
	f.Add("model\n  schema 1.1\ntype a\n  relations\n    define b: ((([a] or b) and b)) but not (b from c)\n")
	f.Fuzz(func(t *testing.T, content string) {
		if len(content) > 4096 {
			return
		}
		names := authzcore.NewNames()
		for _, files := range [][]authzcore.File{whole(content), modules(manifest, content, wiki), {{Path: "fga.mod", Content: content}}} {
			m, err := authzcore.Compile(names, files)
			var invalid *authzcore.ModelError
			switch {
			case err == nil && len(m.ID()) == 36 && len(m.Types()) > 0:
			case errors.As(err, &invalid) && len(invalid.Problems) > 0:
			default:
				t.Fatalf("neither a model nor problems: %v", err)
			}
		}
	})
}

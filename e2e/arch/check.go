// Package arch holds the layers of the repository in one table, and checks them.
package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Row says what the packages of one folder may import.
type Row struct {
	// Folder is a path below the module prefix. A last element "..." takes the
	// folder and all below it; {service} takes any one element, and stands for
	// that element in May.
	Folder string
	// May lists the folders of ours that may be imported, by the package and by
	// its tests. A folder may always import itself.
	May []string
	// Never lists what the package itself, but not its tests, may not import.
	Never []Ban
	// NeverDeep lists what may not be pulled in at all, through other packages
	// either.
	NeverDeep []Ban
}

// Ban forbids a package and all below it. Why is what its violator reads.
type Ban struct {
	Path, Why string
}

// Violation is one import that the table forbids.
type Violation struct {
	Package, Import, Why string
}

// String is one line: who imports what, and why not.
func (v Violation) String() string {
	if v.Import == "" {
		return fmt.Sprintf("%s: %s", v.Package, v.Why)
	}
	return fmt.Sprintf("%s imports %s: %s", v.Package, v.Import, v.Why)
}

// Check returns all violations of the table, in the order of the packages. The
// first row that a package matches is its row; no row is a violation too.
func Check(packages []Package, rows []Row) []Violation {
	var found []Violation
	for _, p := range packages {
		found = append(found, name(p)...)
		row, service, ok := match(p.ImportPath, rows)
		if !ok {
			found = append(found, Violation{Package: p.ImportPath, Why: "no row of the table says what it may import"})
			continue
		}
		found = append(found, ours(p, row, service)...)
		found = append(found, bans(p, p.Imports, row.Never)...)
		found = append(found, bans(p, p.Deps, row.NeverDeep)...)
	}
	return found
}

// vague are names that say nothing about what a package holds.
var vague = []string{"base", "common", "helper", "helpers", "impl", "manager", "misc", "shared", "types", "util", "utils"}

func name(p Package) []Violation {
	if below(p.ImportPath, Module+"proto/gen") || !slices.Contains(vague, path.Base(p.ImportPath)) {
		return nil
	}
	return []Violation{{Package: p.ImportPath, Why: "the name says nothing: name what it holds or does"}}
}

// ours checks the imports of our own packages.
func ours(p Package, row Row, service string) []Violation {
	var found []Violation
	all := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	slices.Sort(all)
	for _, imported := range slices.Compact(all) {
		folder, isOurs := strings.CutPrefix(imported, Module)
		if !isOurs || imported == p.ImportPath {
			continue
		}
		allowed := slices.ContainsFunc(append([]string{row.Folder}, row.May...), func(pattern string) bool {
			_, ok := matchFolder(folder, strings.ReplaceAll(pattern, "{service}", service))
			return ok
		})
		switch {
		case !allowed:
			found = append(found, Violation{p.ImportPath, imported, "not among what " + row.Folder + " may import"})
		case testSupport(imported) && !testSupport(p.ImportPath) && slices.Contains(p.Imports, imported):
			found = append(found, Violation{p.ImportPath, imported, "it is for tests only"})
		}
	}
	return found
}

// testSupport says whether a package is one that tests use, as sqltest.
// modeltest is none: testing models is what the product does.
func testSupport(importPath string) bool {
	name := path.Base(importPath)
	return strings.HasSuffix(name, "test") && name != "modeltest"
}

func bans(p Package, imports []string, banned []Ban) []Violation {
	var found []Violation
	for _, imported := range imports {
		for _, ban := range banned {
			if below(imported, ban.Path) {
				found = append(found, Violation{p.ImportPath, imported, ban.Why})
			}
		}
	}
	return found
}

func match(importPath string, rows []Row) (row Row, service string, ok bool) {
	folder, isOurs := strings.CutPrefix(importPath, Module)
	if !isOurs {
		return Row{}, "", false
	}
	for _, row := range rows {
		if service, ok := matchFolder(folder, row.Folder); ok {
			return row, service, true
		}
	}
	return Row{}, "", false
}

// matchFolder says whether a folder fits a pattern, and what {service} is in it.
func matchFolder(folder, pattern string) (service string, ok bool) {
	elements := strings.Split(folder, "/")
	wanted := strings.Split(pattern, "/")
	for i, w := range wanted {
		switch {
		case w == "..." && i == len(wanted)-1:
			return service, true
		case i >= len(elements):
			return "", false
		case w == "{service}":
			service = elements[i]
		case w != elements[i]:
			return "", false
		}
	}
	return service, len(elements) == len(wanted)
}

// below says whether an import path is folder or lies in it.
func below(importPath, folder string) bool {
	return importPath == folder || strings.HasPrefix(importPath, folder+"/")
}

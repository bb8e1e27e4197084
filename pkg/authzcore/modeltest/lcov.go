package modeltest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteLCOV writes the coverage in the format of LCOV's tracefiles: relations
// are its functions, and hits its counts.
//
// Source: the manual page of geninfo, section FILES.
func (c *Coverage) WriteLCOV(w io.Writer) error {
	byFile := map[string][][]Branch{}
	var files []string
	for _, group := range c.relations() {
		file := group[0].File
		if byFile[file] == nil {
			files = append(files, file)
		}
		byFile[file] = append(byFile[file], group)
	}
	var b strings.Builder
	for _, file := range files {
		fmt.Fprintf(&b, "TN:\nSF:%s\n", file)
		lcovFile(&b, byFile[file])
		b.WriteString("end_of_record\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func lcovFile(b *strings.Builder, groups [][]Branch) {
	var functions, branches strings.Builder
	lines := map[int]int{}
	hitRelations, all, hitBranches := 0, 0, 0
	for i, group := range groups {
		name, hits := group[0].Type+"#"+group[0].Relation, 0
		for j, x := range group {
			fmt.Fprintf(&branches, "BRDA:%d,%d,%d,%d\n", x.Line, i, j, x.Hits)
			lines[x.Line] = max(lines[x.Line], x.Hits)
			hits = max(hits, x.Hits)
			if all++; x.Hits > 0 {
				hitBranches++
			}
		}
		if hits > 0 {
			hitRelations++
		}
		fmt.Fprintf(&functions, "FN:%d,%s\nFNDA:%d,%s\n", group[0].Line, name, hits, name)
	}
	fmt.Fprintf(b, "%sFNF:%d\nFNH:%d\n%sBRF:%d\nBRH:%d\n", functions.String(), len(groups), hitRelations, branches.String(), all, hitBranches)
	hitLines := 0
	for _, n := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(b, "DA:%d,%d\n", n, lines[n])
		if lines[n] > 0 {
			hitLines++
		}
	}
	fmt.Fprintf(b, "LF:%d\nLH:%d\n", len(lines), hitLines)
}

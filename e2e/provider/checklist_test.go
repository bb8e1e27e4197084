package provider_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestChecklist: each test that the checklist of RFC 9700 names is there, by its name.
func TestChecklist(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "../../services/sessions/internal/*/*_test.go", "../../services/sessions/internal/domain/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	named := 0
	for line := range strings.Lines(string(list)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !regexp.MustCompile(`^ [24]\.`).MatchString(cells[1]) {
			continue
		}
		tests := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("section%sis shown by no test", cells[1])
		}
		for _, test := range tests {
			named++
			if name := test[1]; !strings.Contains(sources.String(), `"`+name+`"`) && !strings.Contains(sources.String(), "func "+name+"(t ") &&
				!strings.Contains(sources.String(), `"`+name+" ") {
				t.Errorf("section%snames %s, which is no test", cells[1], name)
			}
		}
	}
	if named < 25 {
		t.Errorf("%d tests are named: the checklist was not read", named)
	}
}

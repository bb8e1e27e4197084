package browsertest

import (
	"strings"
	"testing"
)

// What is missing is named, with what to do about it.
func TestMissing(t *testing.T) {
	t.Setenv(Variable, "")
	t.Setenv("PATH", t.TempDir())
	if _, err := findBrowser(); err == nil || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("no browser: %v", err)
	}
	if _, _, err := findDriver(); err == nil || !strings.Contains(err.Error(), "Node.js") {
		t.Errorf("no Node.js: %v", err)
	}
	t.Setenv(Variable, "/nowhere/chromium")
	if _, err := open(t, nil); err == nil {
		t.Error("a browser that is not there was started")
	}
}

package provider_test

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed client.mjs
var script string

// relyingParty is a client that others wrote: npm openid-client, which checks what it
// is answered.
type relyingParty struct {
	in  io.Writer
	out *bufio.Reader
}

// openRelyingParty starts one for the length of a test.
func openRelyingParty(t *testing.T) *relyingParty {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client.mjs")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs(filepath.Join("..", "..", ".tools", "npm", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "openid-client")); err != nil {
		t.Fatal("openid-client is not installed: run infra/tools/packages.sh, which needs npm")
	}
	cmd := exec.CommandContext(t.Context(), "node", file, modules)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("there is no Node.js: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &relyingParty{in: in, out: bufio.NewReader(out)}
}

// args are those of a step.
type args = map[string]any

// failure is what the client makes of an answer that is none.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"status"`
	Cause   string `json:"cause"`
}

// try takes a step.
func (c *relyingParty) try(t *testing.T, step string, a args) (answer map[string]any, failed failure) {
	t.Helper()
	line, err := json.Marshal(map[string]any{"step": step, "args": a})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	text, err := c.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("openid-client: %v", err)
	}
	var out struct {
		OK map[string]any `json:"ok"`
		failure
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("openid-client: %v: %s", err, text)
	}
	return out.OK, out.failure
}

// do takes a step that must succeed.
func (c *relyingParty) do(t *testing.T, step string, a args) map[string]any {
	t.Helper()
	answer, failed := c.try(t, step, a)
	if failed.Code != "" {
		t.Fatalf("%s: %+v", step, failed)
	}
	return answer
}

// refused takes a step that the provider must refuse.
func (c *relyingParty) refused(t *testing.T, step string, a args, code string) {
	t.Helper()
	answer, failed := c.try(t, step, a)
	if failed.Code != code {
		t.Fatalf("%s: %+v, answer %v; want %s", step, failed, answer, code)
	}
}

// text is a member of an answer.
func text(t *testing.T, answer map[string]any, name string) string {
	t.Helper()
	s, ok := answer[name].(string)
	if !ok || s == "" {
		t.Fatalf("the answer has no %s: %v", name, answer)
	}
	return s
}

// is says whether a member of an answer is true.
func is(answer map[string]any, name string) bool {
	yes, _ := answer[name].(bool)
	return yes
}

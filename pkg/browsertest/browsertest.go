// Package browsertest gives tests a real browser: Chromium without a window,
// with an empty profile, driven by playwright-core.
//
// Every step has a deadline, and a step that fails ends the test. Processes,
// profile and all that the browser stores are gone when the test ends. What is
// missing on a machine is a failure that says what to install.
package browsertest

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"
)

// Variable names the browser to use in place of the installed one.
const Variable = "MERIDIAN_BROWSER"

const (
	startWithin = 60 * time.Second
	// stepWithin is how long a step waits for the page; the answer to it must
	// come a little later.
	stepWithin   = 20 * time.Second
	answerWithin = stepWithin + 10*time.Second
)

//go:embed driver.cjs
var driver string

// The flags of every browser: no window, nothing of its own on the network, and
// nothing that a container may lack.
var flags = []string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
	"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
	"--disable-sync", "--disable-default-apps", "--disable-extensions", "--disable-breakpad", "--password-store=basic", "--mute-audio",
	"--remote-debugging-port=0",
}

// Browser is a running browser.
type Browser struct {
	mu      sync.Mutex
	in      io.Writer
	answers chan []byte
	log     *tail
	broken  error
}

// Open starts a browser for the length of a test. more are flags of Chromium,
// for example --host-resolver-rules=MAP *.example 127.0.0.1.
func Open(t testing.TB, more ...string) *Browser {
	t.Helper()
	b, err := open(t, more)
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	return b
}

func open(t testing.TB, more []string) (*Browser, error) {
	binary, err := findBrowser()
	if err != nil {
		return nil, err
	}
	node, library, err := findDriver()
	if err != nil {
		return nil, err
	}
	profile, err := newProfile(t)
	if err != nil {
		return nil, err
	}
	log := &tail{}
	listening := &address{found: make(chan string, 1)}
	chromium := exec.Command(binary, slices.Concat(flags, more, []string{"--user-data-dir=" + profile, "about:blank"})...)
	chromium.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile)
	chromium.Stderr = io.MultiWriter(log, listening)
	if err := start(t, chromium); err != nil {
		return nil, err
	}
	var at string
	select {
	case at = <-listening.found:
	case <-time.After(startWithin):
		return nil, fmt.Errorf("%s does not listen: %s", binary, log)
	}

	command := exec.Command(node, "-e", driver, "--", library, at)
	command.Stderr = log
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := start(t, command); err != nil {
		return nil, err
	}
	b := &Browser{in: in, answers: make(chan []byte, 1), log: log}
	go b.read(out)
	if err := b.answer(startWithin, nil); err != nil {
		return nil, fmt.Errorf("driver: %w", err)
	}
	return b, nil
}

// findBrowser returns the path of a browser. .ci/run looks for it in the same way.
func findBrowser() (string, error) {
	if named := os.Getenv(Variable); named != "" {
		return named, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium: install it (on Debian: apt-get install chromium), or name one in " + Variable)
}

// findDriver returns the paths of Node.js and of playwright-core, which is below
// the folder that has go.work.
func findDriver() (node, library string, err error) {
	if node, err = exec.LookPath("node"); err != nil {
		return "", "", errors.New("there is no Node.js: install version 20 or newer, and npm")
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", "", errors.New("no folder above the test has go.work")
		}
		dir = parent
	}
	library = filepath.Join(dir, ".tools", "npm", "node_modules", "playwright-core")
	if _, err := os.Stat(library); err != nil {
		return "", "", errors.New("playwright-core is not installed: run infra/tools/packages.sh, which needs npm")
	}
	return node, library, nil
}

// read passes the driver's answers on until it ends.
func (b *Browser) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			close(b.answers)
			return
		}
		b.answers <- line
	}
}

// command is one step.
type command struct {
	Command string         `json:"command"`
	Page    string         `json:"page,omitempty"`
	Args    map[string]any `json:"args"`
}

// do takes one step and waits for its end. A browser that did not answer in time
// answers nothing any more.
func (b *Browser) do(c command, out any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return b.broken
	}
	if c.Args == nil {
		c.Args = map[string]any{}
	}
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		b.broken = fmt.Errorf("driver: %w: %s", err, b.log)
		return b.broken
	}
	return b.answer(answerWithin, out)
}

func (b *Browser) answer(within time.Duration, out any) error {
	select {
	case line, ok := <-b.answers:
		if !ok {
			b.broken = fmt.Errorf("driver has ended: %s", b.log)
			return b.broken
		}
		var a struct {
			Result json.RawMessage `json:"result"`
			Error  string          `json:"error"`
		}
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(a.Result, out)
	case <-time.After(within):
		b.broken = fmt.Errorf("no answer within %s: %s", within, b.log)
		return b.broken
	}
}

// address finds where the browser listens in what it writes.
type address struct {
	found chan string
	text  []byte
	done  bool
}

var listens = regexp.MustCompile(`DevTools listening on (ws://\S+)\n`)

func (a *address) Write(data []byte) (int, error) {
	if a.done {
		return len(data), nil
	}
	a.text = append(a.text, data...)
	if m := listens.FindSubmatch(a.text); m != nil {
		a.found <- string(m[1])
		a.done, a.text = true, nil
	}
	return len(data), nil
}

// tail keeps the end of what the processes write, for error messages.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (w *tail) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const kept = 4 << 10
	w.text = append(w.text, data...)
	if len(w.text) > kept {
		w.text = append([]byte{}, w.text[len(w.text)-kept:]...)
	}
	return len(data), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

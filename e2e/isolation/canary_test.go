package isolation_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/meridian-iam/meridian/e2e/harness"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// The canaries: a secret, a person's address and a person's name, which are sent
// through every procedure; and a control, which everybody may see.
const (
	canarySecret = "canarysecret7f3a"
	canaryMail   = "canarymail5c1d"
	canaryName   = "Canaryname9e2b"
	control      = "controlword4d8e"
)

// Secrets and personal data go into every field that is made for them, in calls
// that succeed and in calls that fail in every way that a request can. None of them
// comes out in a log, a trace, a metric, an error, an event, a stored outcome or a
// message of JetStream.
func TestCanary(t *testing.T) {
	traces := &lockedBuffer{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(traces, r.Body) }))
	t.Cleanup(collector.Close)
	w, d, node := start(t, "telemetry:\n  level: debug\n  trace_endpoint: "+collector.URL+"\n  trace_ratio: 1\n")
	errors := w.sing(t)
	w.notGuessed(t, d)
	metrics := get(t, node.URL()+"/metrics")
	node.Stop(t)
	copies := map[string][]byte{
		"errors": []byte(errors), "log": []byte(node.Output()), "traces": traces.Bytes(), "metrics": metrics,
		"events": rows(t, d, "SELECT envelope FROM log.events"), "outcomes": rows(t, d, "SELECT outcome FROM log.idempotency"),
		"JetStream": files(t, d.NATS.Store),
	}
	for where, content := range copies {
		for what, canary := range map[string]string{"the secret": canarySecret, "the address": canaryMail, "the name": canaryName} {
			if at := bytes.Index(bytes.ToLower(content), []byte(strings.ToLower(canary))); at >= 0 {
				t.Errorf("%s is in %s: …%q…", what, where, content[max(0, at-200):min(len(content), at+60)])
			}
		}
		t.Logf("%s: %d bytes searched", where, len(content))
	}
	// The control: what is no secret is found, so the searches can find.
	for _, where := range []string{"events", "outcomes", "JetStream"} {
		if !bytes.Contains(copies[where], []byte(control)) {
			t.Errorf("the control is not in %s: the search proves nothing", where)
		}
	}
	for _, where := range []string{"log", "traces", "metrics"} {
		if !bytes.Contains(copies[where], []byte("UserService")) {
			t.Errorf("no call of UserService is in %s: the search proves nothing", where)
		}
	}
}

// sing calls every procedure with canaries in it, and returns the texts of all
// errors.
func (w *world) sing(t *testing.T) string {
	t.Helper()
	var errors strings.Builder
	for _, m := range methods() {
		request, ok := requestOf(string(m.FullName()))
		if !ok {
			t.Errorf("%s has no request in the table", m.FullName())
			continue
		}
		variants := []string{"", "\x00", " \u202e", strings.Repeat("x", 70_000)}
		for i, suffix := range variants {
			message := request(w.home)
			if placed := poison(message.ProtoReflect(), w.number(), suffix); !placed && i > 0 {
				break
			}
			err := call(t.Context(), t, w.URL, w.AdminToken, m, message)
			fmt.Fprintf(&errors, "%s: %s %v\n", m.FullName(), outcome(err), err)
		}
	}
	return errors.String()
}

// notGuessed makes a user, and looks for the hash of the request that whoever has the
// database could compute for each address they think of.
func (w *world) notGuessed(t *testing.T, d *harness.Deployment) {
	t.Helper()
	request := &identityv1.CreateUserRequest{Email: "guessed@example.com", IdempotencyKey: "guessed"}
	if _, err := w.Client().Users.CreateUser(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	message, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	procedure := identityv1connect.UserServiceCreateUserProcedure
	guess := sha256.Sum256(append(append([]byte{byte(len(procedure))}, procedure...), message...))
	kept := rows(t, d, "SELECT request_hash FROM log.idempotency WHERE idempotency_key = 'guessed'")
	if len(kept) < len(guess) || bytes.Contains(kept, guess[:]) {
		t.Errorf("kept of the request: %x; want a hash that is not %x", kept, guess)
	}
}

func (w *world) number() int64 { return w.calls.Add(1) }

// poison puts canaries into the fields of a request that are made for secrets and
// personal data, and the control into names that are neither; it says whether there
// were any of the first.
func poison(m protoreflect.Message, number int64, suffix string) bool {
	placed := false
	fields := m.Descriptor().Fields()
	people := strings.Contains(string(m.Descriptor().FullName()), "User")
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.Message() != nil && !field.IsMap() && !field.IsList() && m.Has(field):
			placed = poison(m.Mutable(field).Message(), number, suffix) || placed
		case field.Message() != nil && field.IsList() && m.Has(field):
			for j := range m.Mutable(field).List().Len() {
				placed = poison(m.Mutable(field).List().Get(j).Message(), number, suffix) || placed
			}
		case field.Kind() != protoreflect.StringKind || field.IsList():
		case field.ContainingOneof() != nil && !field.HasOptionalKeyword() && !m.Has(field):
		case redacted(field):
			m.Set(field, protoreflect.ValueOfString(canarySecret+suffix))
			placed = true
		case field.Name() == "email":
			m.Set(field, protoreflect.ValueOfString(fmt.Sprintf("%s%d%s@example.com", canaryMail, number, suffix)))
			placed = true
		case (field.Name() == "name" || field.Name() == "search") && people:
			m.Set(field, protoreflect.ValueOfString(canaryName+suffix))
			placed = true
		case field.Name() == "name" && m.Has(field) && strings.Contains(m.Get(field).String(), " "):
			m.Set(field, protoreflect.ValueOfString(fmt.Sprint(control, number)))
		}
	}
	return placed
}

func redacted(field protoreflect.FieldDescriptor) bool {
	options, ok := field.Options().(*descriptorpb.FieldOptions)
	return ok && options.GetDebugRedact()
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, res.Status, err)
	}
	return content
}

// rows returns all values of a column, one after the other.
func rows(t *testing.T, d *harness.Deployment, query string) []byte {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	found, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(found, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join(values, []byte("\n"))
}

// files returns the content of all files below a folder.
func files(t *testing.T, dir string) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

// lockedBuffer takes what several goroutines write.
type lockedBuffer struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(p)
}

func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.content.Bytes())
}

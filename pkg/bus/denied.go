package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// violation is how NATS says that a user may not do something. It says so on the
// side: what was refused gets no answer and runs into its deadline.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// maxDenied is how many refusals are kept; a user without rights meets more.
const maxDenied = 8

// denied is what NATS refuses the user of this process since the connection is
// up. Rights that change end the connection, and a new one begins to count anew.
type denied struct {
	mu   sync.Mutex
	what []string
	told func()
}

// note takes in an error of the connection. first says that it is a refusal that
// was not known.
func (d *denied) note(err error) (what string, first bool) {
	parts := violation.FindStringSubmatch(err.Error())
	if !errors.Is(err, nats.ErrPermissionViolation) || parts == nil {
		return "", false
	}
	what = "publish to "
	if strings.EqualFold(parts[1], "subscription") {
		what = "subscribe to "
	}
	what += family(parts[2])
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.what) >= maxDenied || slices.Contains(d.what, what) {
		return what, false
	}
	d.what = append(d.what, what)
	if d.told != nil {
		d.told()
	}
	return what, true
}

// family is a subject without what differs from one message to the next.
func family(subject string) string {
	parts, keep := strings.Split(subject, "."), 2
	if parts[0] == "$JS" {
		keep = 4
	}
	if len(parts) <= keep {
		return subject
	}
	return strings.Join(parts[:keep], ".") + ".>"
}

// tell calls fn at the next refusal that was not known.
func (d *denied) tell(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = fn
}

// clear forgets.
func (d *denied) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.what = nil
}

// err says what is refused, for people, and what to do; nil when nothing is.
func (d *denied) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.what) == 0 {
		return nil
	}
	return fmt.Errorf("the NATS user of this process lacks permissions: it may not %s; grant them to the user that bus.url or bus.credentials_file names",
		strings.Join(d.what, ", nor "))
}

// refused notes and logs a refusal; it says whether err is one.
func (b *Bus) refused(err error) bool {
	what, first := b.denied.note(err)
	if first {
		b.log.Error("the NATS user of this process lacks a permission", slog.String("may_not", what), slog.String("error", err.Error()))
	}
	return what != ""
}

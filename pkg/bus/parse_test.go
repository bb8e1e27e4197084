package bus

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
)

func TestSubject(t *testing.T) {
	org := id.New(id.Organization)
	tests := map[string]struct{ log, typ, want string }{
		"event":          {org, "meridian.authz.event.v1.ModelAssigned", "log.eu." + org + ".authz.ModelAssigned"},
		"platform":       {"platform", "meridian.authz.event.v2.ModelPublished", "log.eu.platform.authz.ModelPublished"},
		"other type":     {org, "acme.Thing", "log.eu." + org + "._.acme_Thing"},
		"wildcard":       {org, "meridian.>", ""},
		"space":          {org, "a b", ""},
		"no type":        {org, "", ""},
		"log not a log":  {"*", "meridian.authz.event.v1.ModelAssigned", ""},
		"log with a dot": {"org.a", "meridian.authz.event.v1.ModelAssigned", ""},
	}
	for name, test := range tests {
		got, err := Subject("eu", test.log, test.typ)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, test.want)
		}
		if err == nil && logOf(got) != test.log {
			t.Errorf("%s: log of %s is %s", name, got, logOf(got))
		}
	}
}

func FuzzMessageID(f *testing.F) {
	f.Add("platform:1")
	f.Add("org_x:18446744073709551615")
	f.Add(":0")
	f.Fuzz(func(t *testing.T, s string) {
		log, sequence, ok := parseMessageID(s)
		if ok && (log == "" || sequence == 0) {
			t.Fatalf("%q gave %q, %d", s, log, sequence)
		}
		if ok && messageID(log, sequence) != s && !strings.Contains(s, ":0") && !strings.Contains(s, ":+") {
			t.Fatalf("%q is not %q", s, messageID(log, sequence))
		}
	})
}

func FuzzHeartbeat(f *testing.F) {
	f.Add("heartbeat.eu", []byte(`{"home_region":"eu","clock":"2026-01-01T00:00:00Z","stream":"LOG_EU"}`))
	f.Add("heartbeat.eu", []byte(`{}`))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		h, err := decodeHeartbeat(subject, data)
		if err == nil && (heartbeatSubject(h.HomeRegion) != subject || h.Stream == "" || h.Clock.IsZero()) {
			t.Fatalf("accepted %s %q", subject, data)
		}
	})
}

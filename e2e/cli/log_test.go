package cli_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testLog(t *testing.T, d *harness.Dev) {
	contains(t, expect(t, d.Run(t, "log", "verify"), 0), " 0 with a difference")
	contains(t, expect(t, d.Run(t, "log", "verify", "platform"), 0), "1 logs, ", " 0 with a difference")
	for _, verified := range lines(t, expect(t, d.Run(t, "log", "verify", "--json"), 0)) {
		if verified["done"] != any(true) || verified["log"] == "" || verified["difference"] != nil {
			t.Errorf("verified: %v", verified)
		}
	}
	contains(t, expect(t, d.Run(t, "log", "tail"), 0), "OrganizationCreated", "ModelAssigned", "RelationshipsWritten")
	events := lines(t, expect(t, d.Run(t, "log", "tail", d.Organization, "--json"), 0))
	for i, e := range events {
		envelope, _ := e["envelope"].(map[string]any)
		var event map[string]any
		text, _ := e["json"].(string)
		if err := json.Unmarshal([]byte(text), &event); err != nil || envelope["log"] != d.Organization {
			t.Errorf("event %d: %v, %v", i+1, err, envelope["log"])
		}
	}
	from := lines(t, expect(t, d.Run(t, "log", "tail", "--from", "3", "--json"), 0))
	if len(from) != len(events)-2 {
		t.Errorf("%d events from 3 on, %d in all", len(from), len(events))
	}
	for args, want := range map[string]string{
		"log verify nonsense":                       "log: ",
		"log tail nonsense":                         "log: ",
		"log verify org_00000000000000000000000000": "NOT_FOUND",
		"log tail org_00000000000000000000000000":   "NOT_FOUND",
	} {
		r := d.Run(t, strings.Fields(args)...)
		expect(t, r, 2)
		contains(t, r.Stderr, want)
	}
}

var errNotThere = errors.New("not printed")

func testFollow(t *testing.T, d *harness.Dev) {
	tail := harness.Start(t, "--dir", d.Dir, "log", "tail", "--follow", "--json")
	printed := func(what string) func() error {
		return func() error {
			if !strings.Contains(tail.Output(), what) {
				return errNotThere
			}
			return nil
		}
	}
	harness.Eventually(t, "what there is already", printed("OrganizationCreated"))
	for _, user := range []string{"user:follow-1", "user:follow-2"} {
		expect(t, d.Run(t, "rel", "write", "table:orders#reader@"+user), 0)
		written := time.Now()
		harness.Eventually(t, "the new event", printed(user))
		if took := time.Since(written); took > time.Second {
			t.Errorf("the event was printed after %v, want at most 1 s", took)
		}
	}
	if took := tail.Stop(t); took > time.Second {
		t.Errorf("Ctrl-C took %v", took)
	}
	lines(t, tail.Output()) // and nothing but events was printed
}

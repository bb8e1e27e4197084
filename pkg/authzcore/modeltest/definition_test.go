package modeltest

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// TestWithout: taking a part away gives these definitions.
func TestWithout(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"a", []string{"grants a → NO"}},
		{"[user]", []string{"assigns [user]"}},
		{"[user, user:* with c, group#member]", []string{"assigns [user]", "assigns [user:* with c]", "assigns [group#member]"}},
		{"[user] or a or b from p", []string{"assigns [user]", "grants a → [user] or NO or b from p", "grants b from p → [user] or a or NO"}},
		{"a and b", []string{"requires a → b", "requires b → a"}},
		{"[user] and b and c", []string{
			"requires [user] → b and c", "assigns [user]", "requires b → [user] and c", "requires c → [user] and b",
		}},
		{"a but not b", []string{"grants a → NO but not b", "excludes b → a"}},
		{"(a or b) but not (c and d)", []string{
			"grants a → (NO or b) but not (c and d)", "grants b → (a or NO) but not (c and d)",
			"excludes c and d → (a or b)", "requires c → (a or b) but not d", "requires d → (a or b) but not c",
		}},
		{"a and (b or (c but not d))", []string{
			"requires a → (b or (c but not d))", "requires b or (c but not d) → a", "grants b → a and (NO or (c but not d))",
			"grants c → a and (b or (NO but not d))", "excludes d → a and (b or c)",
		}},
		{"([user] or a) and b", []string{
			"requires [user] or a → b", "assigns [user]", "grants a → ([user] or NO) and b", "requires b → ([user] or a)",
		}},
	} {
		found := definitions(authzcore.File{Content: "type x\n  relations\n    define y: " + c.text + " # say\n    # define z: q\n"})
		if len(found) != 1 || found[0].typ != "x" || found[0].name != "y" || found[0].line != 3 {
			t.Fatalf("%s: %+v", c.text, found)
		}
		var got []string
		for _, p := range found[0].parts() {
			text := string(p.Role) + " " + p.Text
			if p.operand != nil {
				text += " → " + found[0].root.render(p.operand, "NO")
			}
			got = append(got, text)
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", c.text, got)
			continue
		}
		for i, want := range c.want {
			if got[i] != want {
				t.Errorf("%s: got %s, want %s", c.text, got[i], want)
			}
		}
	}
}

// TestDefinitionsOfFile: what looks like a definition and is none is left out.
func TestDefinitionsOfFile(t *testing.T) {
	content := "module m\r\n# type no\r\ntype a # define no: b\r\n  relations\r\n    define one: [\r\n      a, # define no: b\r\n      b:*\r\n    ]\r\n" +
		"extend type b\n  relations\n    define two: one\n  define broken: a or\n    define mixed: a or b and c\n" +
		"condition c(x: int) {\n  define == 1\n}\ntype late\n  relations\n    define no: a\n"
	var got string
	for _, d := range definitions(authzcore.File{Content: content}) {
		got += d.typ + "#" + d.name + " " + content[d.begin:d.begin+len("define")] + " " + d.root.render(nil, "") + "; "
	}
	if want := "a#one define [a, b:*]; b#two define one; "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

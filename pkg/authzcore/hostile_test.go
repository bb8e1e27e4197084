package authzcore_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// hostileModels are models whose text makes parsers slow, each about size bytes
// long.
func hostileModels(size int) map[string]string {
	const head = "model\n  schema 1.1\ntype user\ntype d\n  relations\n    define a: [user]\n"
	fill := func(unit string) string { return strings.Repeat(unit, max(1, (size-len(head))/len(unit))) }
	numbered := func(prefix, suffix string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < size; i++ {
			b.WriteString(prefix + itoa(i) + suffix)
		}
		return b.String()
	}
	chained := func(before, after string) string {
		var b strings.Builder
		b.WriteString(head + "    define p: [d]\n    define r0: [user]\n")
		for i := 1; b.Len() < size; i++ {
			b.WriteString("    define r" + itoa(i) + before + itoa(i-1) + after + "\n")
		}
		return b.String()
	}
	return map[string]string{
		"blank lines":          "model\n  schema 1.1\ntype user\n" + fill("\n") + "type d\n  relations\n    define a: [user]\n",
		"comment lines":        head + fill("# \n") + "    define b: [user]\n",
		"tabbed comments":      head + fill("\t# \n") + "    define b: [user]\n",
		"blank CRLF lines":     "model\r\n  schema 1.1\r\ntype user\r\n" + fill("\r\n") + "type d\r\n",
		"lines of spaces":      head + fill("   \n") + "    define b: [user]\n",
		"lines of tabs":        head + fill("\t\n") + "    define b: [user]\n",
		"spaces in a line":     head + "    define b:" + fill(" ") + "[user]\n",
		"tabs in a line":       head + "    define b:" + fill("\t") + "[user]\n",
		"trailing spaces":      head + "    define b: [user]" + fill(" ") + "\n",
		"deep indentation":     head + fill("  ") + "define b: [user]\n",
		"long identifier":      head + "    define " + fill("b") + ": [user]\n",
		"long type":            head + "type " + fill("b") + "\n",
		"long union":           head + "    define b: a" + fill(" or a") + "\n",
		"long intersection":    head + "    define b: a" + fill(" and a") + "\n",
		"long restrictions":    head + "    define b: [user" + fill(", user") + "]\n",
		"restriction lines":    head + "    define b: [user" + fill(",\nuser") + "]\n",
		"long exclusion":       head + "    define b: a" + fill(" but not a") + "\n",
		"open parentheses":     head + "    define b: " + fill("(") + "\n",
		"closed parentheses":   head + "    define b: " + fill(")") + "\n",
		"many parentheses":     head + "    define b: a" + fill(" or (a)") + "\n",
		"nested groups":        head + fill("    define b: "+strings.Repeat("(", 49)+"a"+strings.Repeat(")", 49)+"\n"),
		"open brackets":        head + "    define b: " + fill("[") + "\n",
		"odd characters":       head + fill("$") + "\n",
		"odd lines":            head + fill("$\n"),
		"colons":               head + fill(":") + "\n",
		"words":                head + fill("a ") + "\n",
		"word lines":           head + fill("a\n"),
		"many types":           numbered("type t", "\n"),
		"many same types":      head + fill("type t\n"),
		"many relations":       numbered("    define r", ": [user]\n"),
		"many computed":        numbered("    define r", ": a\n"),
		"relations with blank": numbered("    define r", ": [user]\n\n"),
		"same relation":        head + fill("    define a: [user]\n"),
		"relations headers":    head + fill("  relations\n"),
		"empty defines":        head + fill("define\n"),
		"model headers":        fill("model\n"),
		"schemas":              "model\n" + fill("  schema 1.1\n"),
		"modules":              fill("module a\n"),
		"extends":              head + fill("extend type d\n"),
		"conditions":           head + fill("condition c(x: int) { x > 1 }\n"),
		"withs":                head + "    define b: [user" + fill(" with c") + "]\n",
		"undefined types":      head + "    define b: [user" + fill(", u") + "]\n",
		"non-ASCII":            head + fill("é") + "\n",
		"not UTF-8":            head + fill("\xff") + "\n",
		"quotes":               head + fill("\"") + "\n",
		"braces":               head + fill("{") + "\n",
		"froms":                head + "    define b: a" + fill(" from a") + "\n",
		"chain":                chained(": r", ""),
		"userset chain":        chained(": [d#r", "]"),
		"impure userset chain": chained(": [user, d#r", "] or a"),
		"from chain":           chained(": r", " from p"),
		"exclusion chain":      chained(": a but not r", ""),
		"union chain":          chained(": [user, d#a] or r", " from p"),
		"subtraction web":      chained(": [user, d#a] or r", " from p but not a"),
		"impure end":           strings.Replace(chained(": [user, d#r", "]"), "    define r0: [user]", "    define r0: [user] or a", 1),
		"type on type":         head + fill("type "),
	}
}

// worked is how long the processors have worked for this process: what else the machine
// does is not in it.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestHostileModelsAreFast(t *testing.T) {
	for name, content := range hostileModels(128 << 10) {
		t.Run(name, func(t *testing.T) {
			start := worked(t)
			_, err := authzcore.Compile(authzcore.NewNames(), whole(content))
			if took := worked(t) - start; took > 10*time.Second {
				t.Errorf("took %v: %v", took, err)
			}
		})
	}
}

func TestProblemsAreInTheirLines(t *testing.T) {
	gap := strings.Repeat("\n  \n# x\n\t# y\n", 5)
	content := gap + "model\n" + gap + "  schema 1.1\ntype user" + gap + "\ntype doc\n  relations\n" + gap + "    define a [user]\n"
	_, err := authzcore.Compile(authzcore.NewNames(), whole(content))
	var invalid *authzcore.ModelError
	if !errors.As(err, &invalid) || invalid.Problems[0].Line != strings.Count(content, "\n") || invalid.Problems[0].Column != 14 {
		t.Errorf("%v", err)
	}
	if _, err := authzcore.Compile(authzcore.NewNames(), whole(strings.Replace(content, "a [", "a: [", 1))); err != nil {
		t.Errorf("blank lines change the meaning: %v", err)
	}
}

func TestCompileStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := authzcore.CompileContext(ctx, authzcore.NewNames(), whole("model\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestCompileRefusesPaths(t *testing.T) {
	for _, path := range []string{"a\x1b[31m.fga", "a\n.fga", "a\u202e.fga", "\xff.fga", strings.Repeat("p", 1025)} {
		_, err := authzcore.Compile(authzcore.NewNames(), []authzcore.File{{Path: path, Content: "model\n  schema 1.1\ntype user\n"}})
		var invalid *authzcore.ModelError
		if !errors.As(err, &invalid) || invalid.Problems[0].File != "" || strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestIDsHaveNoInvisibleCharacters(t *testing.T) {
	for _, c := range []string{"\u202e", "\ufeff", "\u200b", "\u00ad", "\u2066", "\U000e0041"} {
		_, err := authzcore.ParseSubject("user:a" + c + "b")
		var input *authzcore.InputError
		if !errors.As(err, &input) || input.Rule != "character" {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestHostileManifestsAreFast(t *testing.T) {
	for name, unit := range map[string]string{"brackets": "[", "maps": "{a: ", "lists": "- ", "keys": "? ", "comments": "#\n", "blank lines": "\n", "aliases": "*a, ", "same keys": "\na: 1", "flow keys": "a,"} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{16<<10 - 100, 256 << 10} {
				content := "schema: '1.2'\ncontents: " + strings.Repeat(unit, size/len(unit)) + "\n"
				start := worked(t)
				_, err := authzcore.Compile(authzcore.NewNames(), []authzcore.File{{Path: "fga.mod", Content: content}})
				if took := worked(t) - start; err == nil || took > 5*time.Second {
					t.Errorf("%d bytes took %v: %v", size, took, err)
				}
			}
		})
	}
}

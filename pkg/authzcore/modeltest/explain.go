package modeltest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// maxLines bounds an explanation and a difference of lists.
const maxLines = 100

// difference says in lines how an answer is not the wanted one.
func (q *question) difference(got answer) string {
	var b strings.Builder
	if q.kind == kindCheck {
		fmt.Fprintf(&b, "want %s, got %s", q.want.text(q.kind), got.text(q.kind))
		if len(got.missing) > 0 {
			fmt.Fprintf(&b, ": the context lacks %s", strings.Join(got.missing, ", "))
		}
		b.WriteByte('\n')
		return b.String()
	}
	fmt.Fprintf(&b, "want %d, got %d (- wanted only, + got only)\n", len(q.want.list), len(got.list))
	lines := 0
	show := func(sign string, list, other []authzcore.Found) {
		for _, f := range list {
			if slices.Contains(other, f) {
				continue
			}
			if lines++; lines <= maxLines {
				b.WriteString(sign + " " + item(f) + "\n")
			}
		}
	}
	show("-", q.want.list, got.list)
	show("+", got.list, q.want.list)
	if lines > maxLines {
		fmt.Fprintf(&b, "… and %d more\n", lines-maxLines)
	}
	return b.String()
}

// why explains a check, and of a list the first name that is different.
func (q *question) why(ctx context.Context, view *authzcore.View, got answer) string {
	asked := q.engine()
	if q.kind != kindCheck {
		other := func(in []authzcore.Found) func(authzcore.Found) bool {
			return func(f authzcore.Found) bool { return !slices.Contains(in, f) }
		}
		first := append(slices.Clone(q.want.list), got.list...)
		i := slices.IndexFunc(q.want.list, other(got.list))
		if i < 0 {
			i = slices.IndexFunc(got.list, other(q.want.list)) + len(q.want.list)
		}
		if q.kind == kindListObjects {
			asked.Resource = first[i].Name
		} else {
			asked.Subject = first[i].Name
		}
	}
	explanation, err := view.Explain(ctx, asked, q.circumstances)
	if err != nil {
		return "" // the answer stands without its reasons
	}
	t := &tree{}
	if q.kind != kindCheck {
		t.line("why " + asked.Subject + " " + asked.Permission + " " + asked.Resource + ":")
	}
	explanation.Root.Draw(func(text string) bool {
		t.line(text)
		return t.lines <= maxLines
	})
	if explanation.Truncated || t.lines > maxLines {
		t.b.WriteString("… and more\n")
	}
	return t.b.String()
}

// tree draws an explanation.
type tree struct {
	b     strings.Builder
	lines int
}

func (t *tree) line(text string) {
	if t.lines++; t.lines <= maxLines {
		t.b.WriteString(text + "\n")
	}
}

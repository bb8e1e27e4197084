package authzcore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRefusedModelsTakeNoNames(t *testing.T) {
	names := NewNames()
	var complex strings.Builder
	complex.WriteString("model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define r0: [user]\n")
	for i := range 3000 {
		fmt.Fprintf(&complex, "    define r%d: r%d\n", i+1, i)
	}
	_, err := Compile(names, []File{{Path: "model.fga", Content: complex.String()}})
	if _, ok := errors.AsType[*ModelError](err); !ok {
		t.Fatal(err)
	}
	if n, m := len(names.types.all()), len(names.relations.all()); n+m > 0 {
		t.Errorf("%d types and %d relations were taken", n, m)
	}
	for i := range maxNames - 1 {
		if _, err := names.relations.intern(fmt.Sprintf("n%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	model := func(relations ...string) error {
		content := "model\n  schema 1.1\ntype user\n  relations\n    define " + strings.Join(relations, ": [user]\n    define ") + ": [user]\n"
		_, err := Compile(names, []File{{Path: "model.fga", Content: content}})
		return err
	}
	if err := model("a", "b"); !errors.Is(err, ErrNamesFull) {
		t.Errorf("error is %v", err)
	}
	if err := model("a", "n1"); err != nil {
		t.Errorf("the refused model took the last name: %v", err)
	}
}

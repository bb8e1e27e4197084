package models_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
)

// source is a model with so many types, of which each takes its time to compile.
func source(types int) string {
	var b strings.Builder
	b.WriteString("model\n  schema 1.1\ntype user\n")
	for i := range types {
		fmt.Fprintf(&b, "type t%d\n  relations\n    define owner: [user]\n    define reader: [user] or owner\n", i)
	}
	return b.String()
}

// However many ask for a model at once, they get one and the same.
func TestOneModelForAll(t *testing.T) {
	content := source(100)
	files := []authzcore.File{{Path: "m.fga", Content: content}}
	compiled, err := authzcore.Compile(authzcore.NewNames(), files)
	if err != nil {
		t.Fatal(err)
	}
	registry := models.New(authzcore.NewNames(), func(context.Context, string) ([]*eventv1.ModelFile, error) {
		return []*eventv1.ModelFile{{Path: "m.fga", Content: content}}, nil
	})
	var wait sync.WaitGroup
	got := make([]*authzcore.Model, 30)
	for i := range got {
		wait.Go(func() {
			var err error
			if got[i], err = registry.Get(t.Context(), compiled.ID()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	again, err := registry.Get(t.Context(), compiled.ID())
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range got {
		if m != again {
			t.Errorf("caller %d got a model of its own", i)
		}
	}
}

package rpc

import (
	"context"
	"errors"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// A batch whose time is over goes no further, though no item of it fails.
func TestBatchEndsWithItsTime(t *testing.T) {
	names := authzcore.NewNames()
	model, err := authzcore.Compile(names, []authzcore.File{{
		Path: "m.fga", Content: "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define reader: [user]\n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	graph := authzcore.NewGraph(names)
	if err := graph.Apply(1, nil, model); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	items := []*authzv1.BatchCheckItem{{Subject: "user:anna", Permission: "reader", Resource: "document:plan"}}
	s := &Checks{}
	if got, err := s.items(ctx, graph.View(), authzcore.Circumstances{}, items, false); err != nil || got[0].GetDecision() != authzv1.Decision_DECISION_DENY {
		t.Fatalf("%v, %v; want a deny", got, err)
	}
	cancel()
	if got, err := s.items(ctx, graph.View(), authzcore.Circumstances{}, items, false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v; want the end of the context", got, err)
	}
}

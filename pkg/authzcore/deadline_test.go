package authzcore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// ending is a context that ends after it was looked at some times.
type ending struct {
	context.Context

	left int
	// late counts the looks since it ended.
	late int
}

func (e *ending) Err() error {
	if e.left > 0 {
		e.left--
		return nil
	}
	e.late++
	return context.DeadlineExceeded
}

// crowded has places of each kind at which one step of a search meets very many
// conditions. Each wants an hour that does not come.
func crowded(t *testing.T, limits authzcore.Limits) *authzcore.View {
	t.Helper()
	g := graphOf(t, `type user
type team
  relations
    define boss: [user]
    define member: [user with hours] or boss
type group
  relations
    define member: [user, user with hours]
type folder
  relations
    define parent: [folder with hours]
    define viewer: [user] or viewer from parent
type doc
  relations
    define parent: [folder]
    define reader: [user with hours, group#member with hours, team#member with hours]
    define banned: [group#member]
    define view: viewer from parent
    define safe: reader but not banned
condition hours(hour: int, from: int) {
  hour >= from && [1, 2, 3].all(n, n > 0)
}
`, "doc:1#parent@folder:1", "folder:end#viewer@user:u", "team:end#boss@user:u", "doc:many#reader@user:u", "doc:busy#banned@group:none#member")
	g.SetLimits(limits)
	relationships := []authzcore.Relationship{when("doc:busy#reader@user:busy", `{"from":0}`)}
	for i := range 900 {
		relationships = append(relationships,
			when(fmt.Sprintf("folder:1#parent@folder:p%d", i), ""),
			when(fmt.Sprintf("doc:teams#reader@team:%d#member", i), ""),
			when(fmt.Sprintf("group:g%d#member@user:busy", i), ""),
			rel(fmt.Sprintf("group:g%d#member@user:member", i)),
			when(fmt.Sprintf("doc:groups#reader@group:g%d#member", i), ""),
			when(fmt.Sprintf("doc:d%d#reader@user:reader", i), ""),
			when(fmt.Sprintf("doc:readers#reader@user:r%d", i), ""))
	}
	return relate(t, g, relationships...)
}

// A question ends with its context also where one step evaluates many
// conditions, and none is evaluated after that.
func TestConditionsStop(t *testing.T) {
	v := crowded(t, authzcore.Limits{})
	decide := func(question string) func(context.Context, authzcore.Circumstances) error {
		return func(ctx context.Context, under authzcore.Circumstances) error {
			_, err := v.Decide(ctx, ask(question), under)
			return err
		}
	}
	for name, question := range map[string]func(context.Context, authzcore.Circumstances) error{
		"related objects": decide("user:u view doc:1"),
		"usersets":        decide("user:u reader doc:teams"),
		"own groups":      decide("user:busy safe doc:busy"),
		"shared groups":   decide("user:member reader doc:groups"),
		"an explanation": func(ctx context.Context, under authzcore.Circumstances) error {
			_, err := v.Explain(ctx, ask("user:u view doc:1"), under)
			return err
		},
		"objects": func(ctx context.Context, under authzcore.Circumstances) error {
			_, err := v.ListObjects(ctx, authzcore.ObjectQuery{Subject: "user:reader", Permission: "reader", Type: "doc"}, under)
			return err
		},
		"subjects": func(ctx context.Context, under authzcore.Circumstances) error {
			_, err := v.ListSubjects(ctx, authzcore.SubjectQuery{Resource: "doc:readers", Permission: "reader", Type: "user"}, under)
			return err
		},
	} {
		for kind, under := range map[string]authzcore.Circumstances{
			"unmet":   {Context: map[string]any{"hour": 1.0, "from": 2.0}},
			"unknown": {Context: map[string]any{"hour": 1.0}},
			"broken":  {Context: map[string]any{"hour": 1.0, "from": "late"}},
		} {
			ctx := &ending{Context: t.Context(), left: 10}
			err := question(ctx, under)
			if !errors.Is(err, context.DeadlineExceeded) || ctx.late > 4 {
				t.Errorf("%s, %s: %v, looked at %d times after the end", name, kind, err, ctx.late)
			}
		}
	}
}

// A condition counts as a visit.
func TestConditionsAreLimited(t *testing.T) {
	v := crowded(t, authzcore.Limits{Visits: 500})
	under := authzcore.Circumstances{Context: map[string]any{"hour": 1.0, "from": 2.0}}
	for question, want := range map[string]error{
		"user:u view doc:1":             authzcore.ErrTooWide,
		"user:u reader doc:teams":       authzcore.ErrTooWide,
		"user:member reader doc:groups": authzcore.ErrTooWide,
		"user:reader reader doc:d1":     nil,
		"user:r1 reader doc:readers":    nil,
	} {
		if d, err := v.Decide(t.Context(), ask(question), under); !errors.Is(err, want) || d.Answer != authzcore.Deny {
			t.Errorf("%s: %v, %v; want %v", question, d, err, want)
		}
	}
	under.Context["hour"] = 3.0
	for subject, want := range map[string]int{"user:reader": 900, "user:member": 1, "user:none": 0} {
		list, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: subject, Permission: "reader", Type: "doc"}, under)
		if len(list) != want || err != nil {
			t.Errorf("%s: %d documents, %v; want %d", subject, len(list), err, want)
		}
	}
	if list, err := v.ListSubjects(t.Context(), authzcore.SubjectQuery{Resource: "doc:readers", Permission: "reader", Type: "user"}, under); len(list) != 900 || err != nil {
		t.Errorf("%d readers, %v", len(list), err)
	}
}

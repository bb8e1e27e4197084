package authzcore_test

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// workSet is what the project's generator draws: relationships of the cloud
// model and questions with known answers.
type workSet struct {
	relationships []authzcore.Relationship
	questions     []authzcore.Question
	answers       []bool
	lists         []list
}

// list is a question for all objects, and how many there are.
type list struct {
	query authzcore.ObjectQuery
	count int
}

var workSets sync.Map // size → func() (*workSet, error), once

// readWorkSet generates the work set of a size, small (10 k relationships),
// medium (1 M) or large (10 M), once for each run.
func readWorkSet(tb testing.TB, size string) *workSet {
	tb.Helper()
	once, _ := workSets.LoadOrStore(size, sync.OnceValues(func() (*workSet, error) { return generate(size) }))
	s, err := once.(func() (*workSet, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func generate(size string) (s *workSet, err error) {
	dir, err := os.MkdirTemp("", "workset-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	gen := exec.Command("go", "run", "github.com/meridian-iam/meridian/e2e/load/cmd/gen", "-preset", size, "-lists", "100", "-out", dir)
	if out, err := gen.CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(out)))
	}
	s = &workSet{}
	err = eachRow(filepath.Join(dir, "tuples.csv"), func(row []string) {
		subject := row[3] + ":" + row[4]
		if row[5] != "" {
			subject += "#" + row[5]
		}
		s.relationships = append(s.relationships, authzcore.Relationship{Resource: row[0] + ":" + row[1], Relation: row[2], Subject: subject})
	})
	if err != nil {
		return nil, err
	}
	err = eachRow(filepath.Join(dir, "lists.csv"), func(row []string) {
		count, _ := strconv.Atoi(row[4])
		s.lists = append(s.lists, list{authzcore.ObjectQuery{Subject: row[0] + ":" + row[1], Permission: row[2], Type: row[3]}, count})
	})
	if err != nil {
		return nil, err
	}
	return s, eachRow(filepath.Join(dir, "checks.csv"), func(row []string) {
		s.questions = append(s.questions, authzcore.Question{Subject: row[0] + ":" + row[1], Permission: row[2], Resource: row[3] + ":" + row[4]})
		s.answers = append(s.answers, row[5] == "true")
	})
}

func eachRow(path string, row func([]string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(f)
	if _, err := r.Read(); err != nil {
		return err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		row(record)
	}
}

// cloudModel is the model of the work sets.
func cloudModel(tb testing.TB) string {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "e2e", "load", "workset", "cloud.fga"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

// The generator's answers come from an oracle that shares no code with the
// engine.
func TestWorkSetAnswers(t *testing.T) {
	s := readWorkSet(t, "small")
	names := authzcore.NewNames()
	g := authzcore.NewGraph(names)
	replay(t, g, compileCloud(t, names), s.relationships)
	v := g.View()
	for i, q := range s.questions {
		if got, err := v.Check(q); err != nil || got != s.answers[i] {
			t.Fatalf("%v: %v, %v; want %v", q, got, err, s.answers[i])
		}
	}
	for _, l := range s.lists {
		got, err := v.ListObjects(t.Context(), l.query, authzcore.Circumstances{})
		if err != nil || len(got) != l.count || l.count == 0 {
			t.Fatalf("%v: %d objects, %v; want %d", l.query, len(got), err, l.count)
		}
	}
}

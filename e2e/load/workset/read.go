package workset

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// EachTuple reads the tuples of a work set one by one, and stops at fn's error.
//
// Errors of this and the other readers name the file and, for a row that cannot
// be read, its line.
func EachTuple(dir string, fn func(Tuple) error) error {
	words := make(interned)
	return eachRow(dir, tuplesFile, func(row []string) error {
		return fn(Tuple{
			Object:   Object{words.get(row[0]), strings.Clone(row[1])},
			Relation: words.get(row[2]),
			Subject:  Subject{words.get(row[3]), strings.Clone(row[4]), words.get(row[5])},
		})
	})
}

// ReadChecks returns the checks of a work set in their order.
func ReadChecks(dir string) ([]Check, error) {
	var all []Check
	words := make(interned)
	err := eachRow(dir, checksFile, func(row []string) error {
		if row[5] != "true" && row[5] != "false" {
			return fmt.Errorf("expected is %q: must be true or false", row[5])
		}
		all = append(all, Check{
			Subject:    Subject{Type: words.get(row[0]), ID: words.get(row[1])},
			Permission: words.get(row[2]),
			Object:     Object{words.get(row[3]), words.get(row[4])},
			Expected:   row[5] == "true",
			Kind:       words.get(row[6]),
		})
		return nil
	})
	return all, err
}

// ReadLists returns the lists of a work set in their order.
func ReadLists(dir string) ([]List, error) {
	var all []List
	err := eachRow(dir, listsFile, func(row []string) error {
		count, err := strconv.Atoi(row[4])
		if err != nil || count < 0 {
			return fmt.Errorf("expected_count is %q: must be a whole number, 0 or more", row[4])
		}
		row = slices.Clone(row)
		all = append(all, List{
			Subject: Subject{Type: row[0], ID: row[1]}, Permission: row[2], ObjectType: row[3], Count: count, Digest: row[5],
		})
		return nil
	})
	return all, err
}

// ReadProbes returns the probes of a work set in their order.
func ReadProbes(dir string) ([]Probe, error) {
	var all []Probe
	err := eachRow(dir, probesFile, func(row []string) error {
		row = slices.Clone(row)
		all = append(all, probeOf(Tuple{Object{row[2], row[3]}, row[1], user(row[0])}))
		return nil
	})
	return all, err
}

// eachRow calls fn with each row of a file; the slice is used again.
func eachRow(dir, name string, fn func(row []string) error) error {
	disk, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("open work set: %w", err)
	}
	defer func() { _ = disk.Close() }()
	rows := csv.NewReader(bufio.NewReaderSize(disk, 1<<18))
	rows.FieldsPerRecord = len(columns[name])
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("%s: read header: %w", name, err)
	}
	if !slices.Equal(header, columns[name]) {
		return fmt.Errorf("%s: columns are %q: must be %q", name, header, columns[name])
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := fn(row); err != nil {
			line, _ := rows.FieldPos(0)
			return fmt.Errorf("%s: line %d: %w", name, line, err)
		}
	}
}

// interned keeps one copy of each word that comes again and again.
type interned map[string]string

func (words interned) get(word string) string {
	if kept, found := words[word]; found {
		return kept
	}
	kept := strings.Clone(word)
	words[kept] = kept
	return kept
}

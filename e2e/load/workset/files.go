package workset

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// The files of a work set, and the names of their columns.
const (
	tuplesFile = "tuples.csv"
	checksFile = "checks.csv"
	listsFile  = "lists.csv"
	probesFile = "probes.csv"
)

var columns = map[string][]string{
	tuplesFile: {"object_type", "object_id", "relation", "subject_type", "subject_id", "subject_relation"},
	checksFile: {"subject_type", "subject_id", "permission", "object_type", "object_id", "expected", "kind"},
	listsFile:  {"subject_type", "subject_id", "permission", "object_type", "expected_count", "expected_digest"},
	probesFile: {"user_id", "relation", "object_type", "object_id"},
}

// files are the files of a work set that is being written. They have other
// names until commit, so that half a work set is never taken for one.
type files struct {
	dir  string
	open map[string]*file
}

type file struct {
	disk *os.File
	text *bufio.Writer
	rows *csv.Writer
}

const unfinished = ".unfinished"

func create(dir string) (*files, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make work set folder: %w", err)
	}
	out := &files{dir: dir, open: make(map[string]*file)}
	for name, header := range columns {
		disk, err := os.Create(filepath.Join(dir, name+unfinished))
		if err != nil {
			out.abandon()
			return nil, fmt.Errorf("create work set file: %w", err)
		}
		text := bufio.NewWriterSize(disk, 1<<18)
		f := &file{disk: disk, text: text, rows: csv.NewWriter(text)}
		out.open[name] = f
		if err := f.rows.Write(header); err != nil {
			out.abandon()
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return out, nil
}

func (out *files) write(name string, row ...string) error {
	if err := out.open[name].rows.Write(row); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (out *files) tuple(t Tuple) error {
	return out.write(tuplesFile, t.Object.Type, t.Object.ID, t.Relation, t.Subject.Type, t.Subject.ID, t.Subject.Relation)
}

func (out *files) check(c Check) error {
	return out.write(checksFile, c.Subject.Type, c.Subject.ID, c.Permission, c.Object.Type, c.Object.ID,
		strconv.FormatBool(c.Expected), c.Kind)
}

func (out *files) list(l List) error {
	return out.write(listsFile, l.Subject.Type, l.Subject.ID, l.Permission, l.ObjectType, strconv.Itoa(l.Count), l.Digest)
}

func (out *files) probe(p Probe) error {
	return out.write(probesFile, p.Tuple.Subject.ID, p.Tuple.Relation, p.Tuple.Object.Type, p.Tuple.Object.ID)
}

// commit gives the files their names.
func (out *files) commit() error {
	for name, f := range out.open {
		f.rows.Flush()
		if err := f.rows.Error(); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := f.text.Flush(); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := f.disk.Close(); err != nil {
			return fmt.Errorf("close %s: %w", name, err)
		}
	}
	for name := range out.open {
		path := filepath.Join(out.dir, name)
		if err := os.Rename(path+unfinished, path); err != nil {
			return fmt.Errorf("name work set file: %w", err)
		}
		delete(out.open, name)
	}
	return nil
}

// abandon removes what was not committed.
func (out *files) abandon() {
	for name, f := range out.open {
		_ = f.disk.Close()
		_ = os.Remove(filepath.Join(out.dir, name+unfinished))
	}
	clear(out.open)
}

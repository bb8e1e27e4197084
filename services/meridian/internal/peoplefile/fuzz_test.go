package peoplefile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"buf.build/go/protovalidate"

	"github.com/meridian-iam/meridian/services/meridian/internal/peoplefile"
)

// FuzzReader: every line that is not empty is a user who keeps the contract, or a
// refusal, and never both; numbers rise; no external id comes twice.
func FuzzReader(f *testing.F) {
	for _, content := range []string{
		"", "\n\n", "external_id,email\n1,a@b.example\n1,a@b.example\n\"2\",\"\"\"\"\n3,\"\n", "\ufeffemail,external_id,memberships\na,b,org_x:admin\n\xff,\n",
		`{"external_id":"1","name":"\ud83d"}` + "\n{}\n[]\n" + `{"memberships":[{"role":"admin"}]}`,
	} {
		f.Add([]byte(content), true)
		f.Add([]byte(content), false)
	}
	f.Fuzz(func(t *testing.T, content []byte, table bool) {
		format := peoplefile.JSONL
		if table {
			format = peoplefile.CSV
		}
		r, err := peoplefile.NewReader(bytes.NewReader(content), format)
		if err != nil {
			return
		}
		last, ids, most := int64(0), map[string]bool{}, int64(bytes.Count(content, []byte("\n"))+1)
		for {
			line, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("a file in memory cannot be read: %v", err)
			}
			if line.Number <= last || line.Number > most {
				t.Fatalf("line %d comes after %d, of %d", line.Number, last, most)
			}
			last = line.Number
			if (line.User == nil) == (line.Refusal == peoplefile.Refusal{}) {
				t.Fatalf("line %d is a user and refused, or neither: %+v", line.Number, line)
			}
			if line.User == nil {
				continue
			}
			if err := protovalidate.Validate(line.User); err != nil {
				t.Fatalf("line %d: %v", line.Number, err)
			}
			if ids[line.ExternalID] || line.ExternalID != line.User.GetExternalId() {
				t.Fatalf("line %d: the id is another or comes again", line.Number)
			}
			ids[line.ExternalID] = true
		}
	})
}

// FuzzSplit: a line is split as the standard library splits it, but that a quote
// which goes on over the line is refused.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{"", "a,b", `"a,""b""",c`, `a"b`, `"a"b`, `"a`, ",,", `"",""`, " a , b", `a,"`, `"`, `""`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" || strings.ContainsAny(line, "\r\n") {
			return
		}
		got, err := peoplefile.Split([]byte(line), 1<<20)
		want, wrong := csv.NewReader(strings.NewReader(line)).Read()
		if (err != nil) != (wrong != nil) || err == nil && !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; the standard library: %q, %v", line, got, err, want, wrong)
		}
	})
}

// BenchmarkReader reads users with one membership each.
func BenchmarkReader(b *testing.B) {
	for _, c := range []struct {
		format      peoplefile.Format
		begin, line string
	}{
		{peoplefile.CSV, "external_id,email,name,memberships\n", "%,anna%@acme.example,Anna Arendt," + orgA + ":admin\n"},
		{peoplefile.JSONL, "", `{"external_id":"%","email":"anna%@acme.example","name":"Anna Arendt","memberships":[{"organization":"` + orgA + `"}]}` + "\n"},
	} {
		b.Run(string(c.format), func(b *testing.B) {
			r, err := peoplefile.NewReader(&endless{begin: c.begin, line: c.line}, c.format)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if line, err := r.Next(); err != nil || line.User == nil {
					b.Fatalf("%+v: %v", line, err)
				}
			}
		})
	}
}

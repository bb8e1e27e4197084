package peoplefile_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/peoplefile"
)

const (
	orgA = "org_00000000000000000000000001"
	orgB = "org_00000000000000000000000002"
)

// all reads a file to its end.
func all(t *testing.T, content string, format peoplefile.Format) []peoplefile.Line {
	t.Helper()
	r, err := peoplefile.NewReader(strings.NewReader(content), format)
	if err != nil {
		t.Fatal(err)
	}
	var out []peoplefile.Line
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
}

var anna = &identityv1.ImportedUser{
	ExternalId: "17", Email: "anna@acme.example", EmailVerified: true, Name: `Anna "A" Arendt, née Blücher`, Locale: "de-AT", PasswordHash: "$2b$12$abc",
	Memberships: []*identityv1.ImportedMembership{
		{Organization: orgA, Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN},
		{Organization: orgB, Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER},
		{Organization: orgA},
	},
}

// The two formats say the same.
func TestRead(t *testing.T) {
	header := strings.Join(peoplefile.Columns, ",")
	row := `17,anna@acme.example,true,"Anna ""A"" Arendt, née Blücher",de-AT,$2b$12$abc,` + orgA + ":admin " + orgB + ":member  " + orgA
	object := `{"external_id":"17","email":"anna@acme.example","email_verified":true,"name":"Anna \"A\" Arendt, n\u00e9e Blücher","locale":"de-AT",` +
		`"password_hash":"$2b$12$abc","memberships":[{"organization":"` + orgA + `","role":"admin"},{"role":"member","organization":"` + orgB + `"},{"organization":"` + orgA + `"}]}`
	for name, c := range map[string]struct {
		content string
		format  peoplefile.Format
		number  int64
	}{
		"CSV":                               {header + "\n" + row + "\n", peoplefile.CSV, 2},
		"CSV of Windows":                    {"\ufeff" + header + "\r\n" + row + "\r\n", peoplefile.CSV, 2},
		"CSV without an end of line":        {header + "\n" + row, peoplefile.CSV, 2},
		"CSV with empty lines":              {header + "\n\n\r\n" + row + "\n\n", peoplefile.CSV, 4},
		"CSV with a header of quotes":       {`"` + strings.ReplaceAll(header, ",", `","`) + "\"\n" + row, peoplefile.CSV, 2},
		"JSON lines":                        {object + "\n", peoplefile.JSONL, 1},
		"JSON lines of Windows":             {"\ufeff" + object + "\r\n", peoplefile.JSONL, 1},
		"JSON with white space around":      {" \t" + object + " ", peoplefile.JSONL, 1},
		"JSON lines without an end of line": {"\n\n" + object, peoplefile.JSONL, 3},
	} {
		t.Run(name, func(t *testing.T) {
			want := []peoplefile.Line{{Number: c.number, User: anna, ExternalID: "17"}}
			if diff := cmp.Diff(want, all(t, c.content, c.format), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What may be left out is left out, and columns come in any order.
func TestLittle(t *testing.T) {
	want := []peoplefile.Line{{Number: 2, User: &identityv1.ImportedUser{ExternalId: "1", Email: "a@b.example"}, ExternalID: "1"}}
	if diff := cmp.Diff(want, all(t, "email,external_id\na@b.example,1\n", peoplefile.CSV), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	want[0].Number = 1
	little := `{"external_id":"1","email":"a@b.example","name":null,"email_verified":null,"memberships":null}`
	if diff := cmp.Diff(want, all(t, little, peoplefile.JSONL), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

const good = "9,good@acme.example,,,,,\n"

// Each line is refused by itself, with its number and field, and the one after it
// is read.
func TestRefusedRows(t *testing.T) {
	header := strings.Join(peoplefile.Columns, ",") + "\n"
	for name, c := range map[string]struct {
		line, id, reason, field, detail string
	}{
		"too few fields":         {"1,a@b.example", "", "INVALID_FIELD", "line", "has 2 fields, the header has 7"},
		"too many fields":        {strings.Repeat("1,", 1000), "", "INVALID_FIELD", "line", "has 8 fields or more, the header has 7"},
		"a quote that goes on":   {`1,"a@b.example,,,,,`, "", "INVALID_FIELD", "line", "has a quote that is not closed on the line"},
		"a quote inside":         {`1,a"b,,,,,`, "", "INVALID_FIELD", "line", "has a quote inside a field that does not begin with one"},
		"text after a quote":     {`1,"a"b,,,,,`, "", "INVALID_FIELD", "line", "has text after a closing quote"},
		"not UTF-8":              {"1,a@b.example,,Ann\xe4,,,", "", "INVALID_FIELD", "line", "is not UTF-8"},
		"UTF-16":                 {"1\x00,\xff\xfea", "", "INVALID_FIELD", "line", "is not UTF-8"},
		"a name of 64 KiB":       {"1,a@b.example,," + strings.Repeat("n", 64<<10) + ",,,", "", "INVALID_FIELD", "line", "is longer than 65536 bytes"},
		"a name of 32 KiB":       {"1,a@b.example,," + strings.Repeat("n", 32<<10) + ",,,", "1", "INVALID_FIELD", "name", "must be at most 4096 bytes"},
		"a mebibyte":             {strings.Repeat("x", 1<<20), "", "INVALID_FIELD", "line", "is longer than 65536 bytes"},
		"no external id":         {",a@b.example,,,,,", "", "INVALID_FIELD", "external_id", "must be 1 to 128 visible ASCII characters"},
		"an external id of code": {"a\tb,a@b.example,,,,,", "", "INVALID_FIELD", "external_id", "must be 1 to 128 visible ASCII characters"},
		"a long external id":     {strings.Repeat("7", 129) + ",a@b.example,,,,,", "", "INVALID_FIELD", "external_id", "must be 1 to 128 visible ASCII characters"},
		"a long address":         {"1," + strings.Repeat("a", 1025) + ",,,,,", "1", "INVALID_FIELD", "email", "must be at most 1024 bytes"},
		"verified perhaps":       {"1,a@b.example,perhaps,,,,", "1", "INVALID_FIELD", "email_verified", "must be true, false or empty"},
		"a role of fancy":        {"1,a@b.example,,,,," + orgA + " " + orgB + ":owner", "1", "INVALID_FIELD", "memberships[1].role", "must be member or admin, or left out"},
		"51 memberships":         {"1,a@b.example,,,,," + strings.Repeat(orgA+" ", 51), "1", "INVALID_FIELD", "memberships", "must be at most 50"},
		"30,000 memberships":     {"1,a@b.example,,,,," + strings.Repeat("o ", 30_000), "1", "INVALID_FIELD", "memberships", "must be at most 50"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := all(t, header+c.line+"\n"+good, peoplefile.CSV)
			if len(lines) != 2 {
				t.Fatalf("%d lines: %+v", len(lines), lines)
			}
			refused(t, lines[0], 2, c.id, peoplefile.Refusal{Reason: c.reason, Field: c.field, Detail: c.detail})
			if lines[1].Number != 3 || lines[1].User == nil {
				t.Errorf("the line after it is %+v", lines[1])
			}
		})
	}
}

func refused(t *testing.T, got peoplefile.Line, number int64, id string, want peoplefile.Refusal) {
	t.Helper()
	if want.Detail == "" {
		got.Refusal.Detail = ""
	}
	if got.User != nil || got.Number != number || got.ExternalID != id || got.Refusal != want {
		t.Errorf("%+v, want line %d, id %q: %+v", got, number, id, want)
	}
}

func TestRefusedObjects(t *testing.T) {
	object := func(more string) string { return `{"external_id":"1","email":"a@b.example"` + more + "}" }
	unknown := "has a field that is none of " + strings.Join(peoplefile.Columns, ", ") + ", or of organization, role in memberships"
	for name, c := range map[string]struct {
		line, id, field, detail string
	}{
		"no JSON":                  {"anna", "", "line", "is not a JSON object"},
		"a list":                   {"[]", "", "line", "is not a JSON object"},
		"half an object":           {`{"external_id":"1"`, "1", "line", "is not a JSON object"},
		"a comma too much":         {`{"external_id":"1",}`, "1", "line", "is not a JSON object"},
		"two objects":              {object("") + object(""), "1", "line", "has more than one JSON object"},
		"an unknown field":         {object(`,"passwort":"geheim"`), "1", "line", unknown},
		"a field in other letters": {object(`,"Name":"Anna"`), "1", "line", unknown},
		"a field twice":            {object(`,"email":"other@b.example"`), "1", "email", "stands there twice"},
		"a number for a name":      {object(`,"name":17`), "1", "name", "must be a string"},
		"verified perhaps":         {object(`,"email_verified":"yes"`), "1", "email_verified", "must be true or false"},
		"half of a character":      {object(`,"name":"Anna \ud83d"`), "1", "name", "has half of a character, as \\ud83d"},
		"deep":                     {object(`,"name":` + strings.Repeat("[", 30_000)), "1", "name", "must be a string"},
		"members of no list":       {object(`,"memberships":"` + orgA + `"`), "1", "memberships", "must be a list of objects with organization and role"},
		"members of texts":         {object(`,"memberships":["` + orgA + `"]`), "1", "memberships", "must be a list of objects with organization and role"},
		"a role of fancy":          {object(`,"memberships":[{"organization":"` + orgA + `","role":"owner"}]`), "1", "memberships[0].role", "must be member or admin, or left out"},
		"a role twice":             {object(`,"memberships":[{"role":"admin","role":"member"}]`), "1", "memberships[0].role", "stands there twice"},
		"an unknown field inside":  {object(`,"memberships":[{"org":"` + orgA + `"}]`), "1", "line", unknown},
		"many memberships":         {object(`,"memberships":[{}` + strings.Repeat(",{}", 10_000) + "]"), "1", "memberships", "must be at most 50"},
		"a rule of the contract":   {object(`,"memberships":[{"organization":"` + strings.Repeat("o", 1025) + `"}]`), "1", "memberships[0].organization", "must be at most 1024 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := all(t, c.line+"\n"+`{"external_id":"2"}`, peoplefile.JSONL)
			if len(lines) != 2 {
				t.Fatalf("%d lines: %+v", len(lines), lines)
			}
			refused(t, lines[0], 1, c.id, peoplefile.Refusal{Reason: "INVALID_FIELD", Field: c.field, Detail: c.detail})
			if lines[1].Number != 2 || lines[1].User == nil {
				t.Errorf("the line after it is %+v", lines[1])
			}
		})
	}
}

// A replacement character that the file has itself is as good as any other.
func TestReplacementCharacter(t *testing.T) {
	for _, name := range []string{`a\ufffdb`, `a\uFFFDb`, "a\ufffdb"} {
		line := all(t, `{"external_id":"1","name":"`+name+`"}`, peoplefile.JSONL)[0]
		if line.User.GetName() != "a\ufffdb" {
			t.Errorf("%s: %+v", name, line)
		}
	}
	for _, name := range []string{`a\ufffd\ud800`, "\ufffd\\udfff", `\\ufffd\ud800`} {
		line := all(t, `{"external_id":"1","name":"`+name+`"}`, peoplefile.JSONL)[0]
		refused(t, line, 1, "1", peoplefile.Refusal{Reason: "INVALID_FIELD", Field: "name", Detail: "has half of a character, as \\ud83d"})
	}
}

func TestTwice(t *testing.T) {
	lines := all(t, "external_id,email\n1,a@b.example\n2,b@b.example\n1,c@b.example\n3,"+strings.Repeat("d", 1025)+"\n3,d@b.example\n", peoplefile.CSV)
	refused(t, lines[2], 4, "1", peoplefile.Refusal{Reason: "ALREADY_EXISTS", Field: "external_id", Detail: "line 2 has it"})
	if lines[4].User == nil {
		t.Errorf("a line that is refused keeps nobody out: %+v", lines[4])
	}
}

// Memory does not grow with the file: the oldest ids are forgotten.
func TestRemembersSoMany(t *testing.T) {
	var content strings.Builder
	content.WriteString("external_id,email\n")
	const last, least = 1000, 10
	for i := range last {
		fmt.Fprintf(&content, "%d,a%d@b.example\n", i, i)
	}
	fmt.Fprintf(&content, "%d,x@b.example\n%d,y@b.example\n", last-least, 0)
	r, err := peoplefile.NewReader(strings.NewReader(content.String()), peoplefile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	r.Remember(least)
	for range last {
		if line, err := r.Next(); err != nil || line.User == nil || r.Remembered() > 2*least {
			t.Fatalf("%+v: %v, %d remembered", line, err, r.Remembered())
		}
	}
	if line, err := r.Next(); err != nil || line.User != nil {
		t.Errorf("%+v, %v: it stands %d lines before", line, err, least)
	}
	if line, err := r.Next(); err != nil || line.User == nil {
		t.Errorf("%+v, %v: it is forgotten, and left to the server", line, err)
	}
}

func TestHeader(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"nothing":            {"", "there is no header"},
		"no external id":     {"email,name\n", "lacks the column external_id"},
		"no address":         {"external_id,name\n", "lacks the column email"},
		"an unknown column":  {"external_id,email,phone\n", "column 3 of the header is none of external_id,"},
		"a column twice":     {"external_id,email,email\n", "the column email twice"},
		"semicolons":         {"external_id;email\n", "column 1"},
		"UTF-16":             {"\xff\xfee\x00x\x00", "not UTF-8"},
		"a long line":        {strings.Repeat("external_id,", 10_000), "longer than"},
		"a quote that stays": {`"external_id,email` + "\n", "quote that is not closed"},
	} {
		if _, err := peoplefile.NewReader(strings.NewReader(c.content), peoplefile.CSV); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "line 1: ") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := peoplefile.NewReader(strings.NewReader(""), "xml"); err == nil {
		t.Error("a format that does not exist is taken")
	}
}

// A file that cannot be read on is not one that ends.
func TestBrokenFile(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("external_id,email\n1,a@b.example\n2,b@b"), iotest.ErrReader(io.ErrUnexpectedEOF))
	r, err := peoplefile.NewReader(broken, peoplefile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := r.Next(); err != nil || line.User == nil {
		t.Fatalf("%+v, %v", line, err)
	}
	if line, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) || line.Number != 0 {
		t.Errorf("%+v, %v: half a line was read", line, err)
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]peoplefile.Format{
		"people.csv": peoplefile.CSV, "People.CSV": peoplefile.CSV, "a.csv.jsonl": peoplefile.JSONL, "a.ndjson": peoplefile.JSONL, "csv": "", "a.csv.gz": "", "-": "",
	} {
		if got, err := peoplefile.FormatOf(name); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

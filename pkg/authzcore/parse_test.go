package authzcore_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func TestParseSubject(t *testing.T) {
	long := strings.Repeat("i", 256)
	for text, want := range map[string]authzcore.Subject{
		"user:anne":                        {Type: "user", ID: "anne"},
		"user:*":                           {Type: "user", ID: "*"},
		"group:eng#member":                 {Type: "group", ID: "eng", Relation: "member"},
		"Team_1/a-b.c:x@y|z":               {Type: "Team_1/a-b.c", ID: "x@y|z"},
		"user:Zoë":                         {Type: "user", ID: "Zoë"},
		"user:" + long:                     {Type: "user", ID: long},
		strings.Repeat("t", 64) + ":i#r-1": {Type: strings.Repeat("t", 64), ID: "i", Relation: "r-1"},
	} {
		got, err := authzcore.ParseSubject(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

func TestParseRelationshipRefuses(t *testing.T) {
	good := authzcore.Relationship{Resource: "doc:1", Relation: "viewer", Subject: "user:u"}
	if err := authzcore.ParseRelationship(good); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change      func(*authzcore.Relationship)
		field, rule string
	}{
		"no type":           {func(r *authzcore.Relationship) { r.Resource = ":1" }, "resource", "type_name"},
		"no colon":          {func(r *authzcore.Relationship) { r.Resource = "doc" }, "resource", "format"},
		"no id":             {func(r *authzcore.Relationship) { r.Resource = "doc:" }, "resource", "empty"},
		"wildcard resource": {func(r *authzcore.Relationship) { r.Resource = "doc:*" }, "resource", "wildcard"},
		"second colon":      {func(r *authzcore.Relationship) { r.Resource = "doc:a:b" }, "resource", "character"},
		"userset resource":  {func(r *authzcore.Relationship) { r.Resource = "doc:a#b" }, "resource", "character"},
		"type with digit":   {func(r *authzcore.Relationship) { r.Resource = "1doc:a" }, "resource", "type_name"},
		"long type":         {func(r *authzcore.Relationship) { r.Resource = strings.Repeat("d", 65) + ":a" }, "resource", "type_name"},
		"no relation":       {func(r *authzcore.Relationship) { r.Relation = "" }, "relation", "relation_name"},
		"bad relation":      {func(r *authzcore.Relationship) { r.Relation = "a b" }, "relation", "relation_name"},
		"long id":           {func(r *authzcore.Relationship) { r.Subject = "user:" + strings.Repeat("x", 257) }, "subject", "length"},
		"space":             {func(r *authzcore.Relationship) { r.Subject = "user:a b" }, "subject", "character"},
		"no-break space":    {func(r *authzcore.Relationship) { r.Subject = "user:a\u00a0b" }, "subject", "character"},
		"NUL":               {func(r *authzcore.Relationship) { r.Subject = "user:a\x00" }, "subject", "character"},
		"C1 control":        {func(r *authzcore.Relationship) { r.Subject = "user:a\u0085" }, "subject", "character"},
		"not UTF-8":         {func(r *authzcore.Relationship) { r.Subject = "user:a\xff" }, "subject", "utf8"},
		"not NFC":           {func(r *authzcore.Relationship) { r.Subject = "user:Zoe\u0308" }, "subject", "nfc"},
		"wildcard userset":  {func(r *authzcore.Relationship) { r.Subject = "group:*#member" }, "subject", "wildcard"},
		"empty userset":     {func(r *authzcore.Relationship) { r.Subject = "group:a#" }, "subject", "relation_name"},
		"two usersets":      {func(r *authzcore.Relationship) { r.Subject = "group:a#b#c" }, "subject", "relation_name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			test.change(&r)
			err := authzcore.ParseRelationship(r)
			var input *authzcore.InputError
			if !errors.As(err, &input) || input.Field != test.field || input.Rule != test.rule {
				t.Fatalf("%v is refused with %#v", r, err)
			}
			g := authzcore.NewGraph(authzcore.NewNames())
			if err := g.Apply(1, []authzcore.Change{{Relationship: good}, {Relationship: r}}, nil); !errors.As(err, &input) {
				t.Errorf("applying gives %v", err)
			}
			if v := g.View(); v.Size().Relationships != 0 || v.Sequence() != 0 {
				t.Errorf("half of it was applied: %+v", v.Size())
			}
		})
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"user:a", "user:*", "g:e#m", "user:Zoe\u0308", "a:\xff", ":", "#", "t:" + strings.Repeat("x", 257)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := authzcore.ParseSubject(text)
		var input *authzcore.InputError
		if err != nil {
			if !errors.As(err, &input) || input.Field != "subject" || input.Rule == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		if s.String() != text || !utf8.ValidString(text) || !norm.NFC.IsNormalString(s.ID) || len(s.ID) > 256 || s.ID == "" ||
			strings.IndexFunc(s.ID, func(r rune) bool {
				return r == ':' || r == '#' || unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf)
			}) >= 0 {
			t.Fatalf("%q is accepted as %+v", text, s)
		}
		if o, err := authzcore.ParseObject(text); (err == nil) != (s.Relation == "" && s.ID != "*") || err == nil && o.String() != text {
			t.Fatalf("%q as an object: %+v, %v", text, o, err)
		}
	})
}

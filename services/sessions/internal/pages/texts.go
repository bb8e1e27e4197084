package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"strings"
	"time"

	"golang.org/x/text/language"
)

//go:embed texts
var texts embed.FS

// locale is a language that pages are written in.
type locale string

// The languages.
const (
	english locale = "en"
	german  locale = "de"
)

// locales are in the order of the matcher's languages; the first is the default.
var (
	locales = [...]locale{english, german}
	matcher = language.NewMatcher([]language.Tag{language.English, language.German})
)

// maxTags bounds a text of language tags, in bytes; maxPreferences how many are read.
const (
	maxTags        = 256
	maxPreferences = 20
)

// match is the language that fits best: English unless one of the texts asks for another
// one. A text is a language tag, as de-AT, or the value of an Accept-Language header. The
// first that is fit for anything decides; one that is long or malformed is passed over.
func match(preferences ...string) locale {
	if len(preferences) > maxPreferences {
		preferences = append(preferences[:maxPreferences-1:maxPreferences-1], preferences[len(preferences)-1])
	}
	for _, text := range preferences {
		if text == "" || len(text) > maxTags {
			continue
		}
		tags, _, err := language.ParseAcceptLanguage(text)
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, index, confidence := matcher.Match(tags...); confidence > language.No {
			return locales[index]
		}
	}
	return english
}

// catalog is the texts of a language, by key. A text has names of what is put in, as
// {client}.
type catalog map[string]string

func loadCatalog(l locale) (catalog, error) {
	data, err := texts.ReadFile("texts/" + string(l) + ".json")
	if err != nil {
		return nil, err
	}
	var c catalog
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("texts %s: %w", l, err)
	}
	return c, nil
}

func (c catalog) functions() template.FuncMap {
	return template.FuncMap{"text": c.text, "rich": c.rich, "has": c.has, "known": c.known, "date": c.date}
}

// text is a text as it is. put are names and values that are put in.
func (c catalog) text(key string, put ...string) (string, error) {
	found, ok := c[key]
	if !ok {
		return "", fmt.Errorf("no text %s", key)
	}
	return replace(found, put, func(s string) string { return s })
}

// rich is a text for where elements may be: what is put in stands out, and does not
// change the direction of what is around it.
func (c catalog) rich(key string, put ...string) (template.HTML, error) {
	found, ok := c[key]
	if !ok {
		return "", fmt.Errorf("no text %s", key)
	}
	out, err := replace(html.EscapeString(found), put, func(s string) string { return "<bdi>" + html.EscapeString(s) + "</bdi>" })
	return template.HTML(out), err //nolint:gosec // text and values are escaped above
}

// replace puts values in, once: what looks like a name in a value stays.
func replace(text string, put []string, escape func(string) string) (string, error) {
	if len(put)%2 != 0 {
		return "", fmt.Errorf("a name without a value for %q", text)
	}
	pairs := make([]string, 0, len(put))
	for i := 0; i < len(put); i += 2 {
		pairs = append(pairs, "{"+put[i]+"}", escape(put[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

// has says whether a member of a family has a text.
func (c catalog) has(family string, member any) bool {
	_, ok := c[fmt.Sprintf("%s.%s", family, member)]
	return ok
}

// known is the text of a member of a family, and the family's unknown one for a member
// that has none.
func (c catalog) known(family string, member any, part ...string) (string, error) {
	end := strings.Join(append([]string{""}, part...), ".")
	if found, ok := c[fmt.Sprintf("%s.%s%s", family, member, end)]; ok {
		return found, nil
	}
	return c.text(family + ".unknown" + end)
}

// date is a time as people read it. Without script nobody knows the browser's zone.
func (c catalog) date(at time.Time) (string, error) {
	month, err := c.text(fmt.Sprintf("month.%d", at.UTC().Month()))
	if err != nil {
		return "", err
	}
	return c.text("date", "day", at.UTC().Format("2"), "month", month, "year", at.UTC().Format("2006"), "time", at.UTC().Format("15:04"))
}

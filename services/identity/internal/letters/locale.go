package letters

import (
	"fmt"
	"time"

	"golang.org/x/text/language"
)

// Locale is a language that letters are written in.
type Locale string

// The languages.
const (
	English Locale = "en"
	German  Locale = "de"
)

// locales are in the order of the matcher's languages; the first is the default.
var (
	locales = [...]Locale{English, German}
	matcher = language.NewMatcher([]language.Tag{language.English, language.German})
)

// maxTags bounds a text of language tags, in bytes.
const maxTags = 256

// Match returns the language that fits best: English unless one of the texts asks
// for another one. A text is a language tag, as de-AT, or the value of an
// Accept-Language header. The first text that is fit for anything decides; one that
// is long or malformed is passed over.
func Match(texts ...string) Locale {
	for _, text := range texts {
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
	return English
}

// wording is how a language says times.
type wording struct {
	minute, minutes, hour, hours, day, days string
	layout                                  string
}

var words = map[Locale]wording{
	English: {"minute", "minutes", "hour", "hours", "day", "days", "2 January 2006 at 15:04 UTC"},
	German:  {"Minute", "Minuten", "Stunde", "Stunden", "Tag", "Tage", "02.01.2006 um 15:04 UTC"},
}

// lifetime is how long something lasts, to a second, in the largest unit that it is
// a multiple of.
func (w wording) lifetime(d time.Duration) string {
	d = d.Round(time.Second)
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return count(int64(d/day), w.day, w.days)
	case d >= time.Hour && d%time.Hour == 0:
		return count(int64(d/time.Hour), w.hour, w.hours)
	}
	return count(int64(d/time.Minute), w.minute, w.minutes)
}

func count(n int64, one, many string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", one)
	}
	return fmt.Sprint(n, " ", many)
}

func (w wording) time(at time.Time) string { return at.UTC().Format(w.layout) }

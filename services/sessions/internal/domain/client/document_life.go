package client

import (
	"strconv"
	"strings"
	"time"
)

// For how long a document is believed: what its server says, within bounds.
const (
	documentLife    = 5 * time.Minute
	minDocumentLife = time.Minute
	maxDocumentLife = 24 * time.Hour
)

// Freshness is what the answer that a document came with says of caches. Control are its
// headers Cache-Control.
type Freshness struct {
	Control            []string
	Age, Date, Expires string
}

// Life is how long a document is believed, from a minute to a day: five minutes where
// nothing is said. A document that must not be kept is kept for the minute, so that
// nobody has it fetched at each step.
//
// Source: RFC 9111 sections 4.2.1, 4.2.3, 5.2.2 and 5.3; draft-ietf-oauth-client-id-metadata-document,
// Metadata Caching.
func (f Freshness) Life() time.Duration {
	life, said := f.said()
	if !said {
		life = documentLife
	}
	if age, err := strconv.ParseUint(f.Age, 10, 31); err == nil {
		life -= time.Duration(age) * time.Second
	}
	return min(max(life, minDocumentLife), maxDocumentLife)
}

// said is how long caches may keep it, and whether anything was said.
func (f Freshness) said() (life time.Duration, said bool) {
	limits := map[string]time.Duration{}
	for directive := range strings.SplitSeq(strings.Join(f.Control, ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		if name == "no-store" || name == "no-cache" {
			return 0, true
		}
		if name != "max-age" && name != "s-maxage" {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
		limit := time.Duration(seconds) * time.Second
		if err != nil {
			limit = 0 // what cannot be read is stale
		}
		if other, twice := limits[name]; !twice || limit < other {
			limits[name] = limit
		}
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if limit, there := limits[name]; there {
			return limit, true
		}
	}
	if f.Expires == "" {
		return 0, false
	}
	// Source: RFC 9110 section 5.6.7, the one form that is sent now.
	expires, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", f.Expires)
	date, wrong := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", f.Date)
	if err != nil || wrong != nil {
		return 0, true
	}
	return expires.Sub(date), true
}

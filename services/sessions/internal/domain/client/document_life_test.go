package client_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

func TestDocumentLife(t *testing.T) {
	t.Parallel()
	const date, later = "Fri, 27 Nov 2026 09:00:00 GMT", "Fri, 27 Nov 2026 10:00:00 GMT"
	of := func(control ...string) client.Freshness { return client.Freshness{Control: control} }
	for name, tc := range map[string]struct {
		said client.Freshness
		want time.Duration
	}{
		"nothing is said":            {client.Freshness{}, 5 * time.Minute},
		"something else":             {of("public, immutable"), 5 * time.Minute},
		"max-age":                    {of("public, Max-Age=7200"), 2 * time.Hour},
		"in quotes":                  {of(`max-age="7200"`), 2 * time.Hour},
		"that of shared caches":      {of("max-age=600, s-maxage=7200"), 2 * time.Hour},
		"twice: the shorter":         {of("max-age=7200", "max-age=600"), 10 * time.Minute},
		"no more than a day":         {of("max-age=2147483647"), 24 * time.Hour},
		"no less than a minute":      {of("max-age=1"), time.Minute},
		"negative":                   {of("max-age=-1"), time.Minute},
		"no number":                  {of("max-age=forever"), time.Minute},
		"too large a number":         {of("max-age=99999999999999999999"), time.Minute},
		"no-store":                   {of("no-store"), time.Minute},
		"no-cache beside max-age":    {of("max-age=7200, no-cache"), time.Minute},
		"some of it is gone already": {client.Freshness{Control: []string{"max-age=7200"}, Age: "3600"}, time.Hour},
		"all of it is":               {client.Freshness{Control: []string{"max-age=7200"}, Age: "7200"}, time.Minute},
		"an age that is none":        {client.Freshness{Control: []string{"max-age=7200"}, Age: "-7200"}, 2 * time.Hour},
		"Expires":                    {client.Freshness{Date: date, Expires: later}, time.Hour},
		"max-age before Expires":     {client.Freshness{Control: []string{"max-age=600"}, Date: date, Expires: later}, 10 * time.Minute},
		"Expires of the past":        {client.Freshness{Date: later, Expires: date}, time.Minute},
		"Expires is 0":               {client.Freshness{Date: date, Expires: "0"}, time.Minute},
		"Expires without Date":       {client.Freshness{Expires: later}, time.Minute},
	} {
		if got := tc.said.Life(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

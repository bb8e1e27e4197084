package source_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/source"
)

const url = "https://console.example.com/check"

func changed(url string, disabled bool, secrets uint32) proto.Message {
	return &eventv1.SourceChanged{Source: "console", CheckerUrl: url, Disabled: disabled, Secrets: secrets}
}

func TestPut(t *testing.T) {
	for name, tc := range map[string]struct {
		given []proto.Message
		when  source.Put
		want  proto.Message
		err   commonv1.Reason
	}{
		"new, without a checker":      {when: source.Put{}, want: changed("", false, 0)},
		"new, with one":               {when: source.Put{CheckerURL: url}, want: changed(url, false, 1)},
		"the last that may be":        {when: source.Put{Others: source.Max - 1}, want: changed("", false, 0)},
		"one too many":                {when: source.Put{Others: source.Max}, err: commonv1.Reason_LIMIT_REACHED},
		"a change is none too many":   {given: []proto.Message{changed("", false, 0)}, when: source.Put{Disabled: true, Others: source.Max}, want: changed("", true, 0)},
		"as it is":                    {given: []proto.Message{changed(url, true, 3)}, when: source.Put{CheckerURL: url, Disabled: true}},
		"first checker":               {given: []proto.Message{changed("", false, 0)}, when: source.Put{CheckerURL: url}, want: changed(url, false, 1)},
		"moved checker":               {given: []proto.Message{changed(url, false, 2)}, when: source.Put{CheckerURL: url + "2"}, want: changed(url+"2", false, 2)},
		"no checker any more":         {given: []proto.Message{changed(url, false, 2)}, when: source.Put{}, want: changed("", false, 2)},
		"and one again":               {given: []proto.Message{changed(url, false, 2), changed("", false, 2)}, when: source.Put{CheckerURL: url}, want: changed(url, false, 2)},
		"kill switch":                 {given: []proto.Message{changed(url, false, 1)}, when: source.Put{CheckerURL: url, Disabled: true}, want: changed(url, true, 1)},
		"new secret":                  {given: []proto.Message{changed(url, false, 1)}, when: source.Put{CheckerURL: url, NewSecret: true}, want: changed(url, false, 2)},
		"one new secret, not two":     {when: source.Put{CheckerURL: url, NewSecret: true}, want: changed(url, false, 1)},
		"a secret before the checker": {when: source.Put{NewSecret: true}, want: changed("", false, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			var s source.State
			for _, e := range tc.given {
				s.Apply(e)
			}
			tc.when.Name = "console"
			events, err := tc.when.Decide(s)
			switch {
			case tc.err != 0:
				if !fault.Is(err, tc.err) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.err)
				}
				return
			case err != nil:
				t.Fatal(err)
			case tc.want == nil:
				if events != nil {
					t.Fatalf("Decide = %v, want no event", events)
				}
				return
			case len(events) != 1 || !proto.Equal(events[0], tc.want):
				t.Fatalf("Decide = %v, want %v", events, tc.want)
			}
			s.Apply(events[0])
			tc.when.NewSecret = false
			if again, err := tc.when.Decide(s); err != nil || again != nil {
				t.Errorf("putting it again: %v, %v; want nothing", again, err)
			}
		})
	}
}

func TestAsked(t *testing.T) {
	for _, tc := range []struct {
		given proto.Message
		want  bool
	}{
		{changed(url, false, 1), true},
		{changed(url, true, 1), false},
		{changed("", false, 1), false},
		{changed(url, false, 0), false},
	} {
		var s source.State
		s.Apply(tc.given)
		if s.Asked() != tc.want {
			t.Errorf("%v: Asked = %t", tc.given, s.Asked())
		}
	}
}

package proof_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-iam/meridian/services/identity/internal/proof"
	"github.com/meridian-iam/meridian/services/identity/internal/proof/dnstest"
)

const (
	name  = "_meridian-challenge.example.com"
	value = "meridian-domain-verification=abcdefghijklmnopqrstuvwxyz234567"
)

func others(n int) (records []string) {
	for i := range n {
		records = append(records, fmt.Sprintf("v=spf1 include:%d.example.net -all", i))
	}
	return records
}

func TestLook(t *testing.T) {
	for title, tc := range map[string]struct {
		answer     dnstest.Answer
		found      bool
		unanswered bool
		// silent answers are waited for until the deadline.
		silent bool
	}{
		"the record":                     {answer: dnstest.TXT(value), found: true},
		"among others":                   {answer: dnstest.TXT(append(others(30), value)...), found: true},
		"in quotes, with white space":    {answer: dnstest.TXT(" \"" + value + "\" "), found: true},
		"over TCP, being truncated":      {answer: dnstest.TXT(append(others(49), value)...), found: true},
		"the 51st record":                {answer: dnstest.TXT(append(others(50), value)...)},
		"of another challenge":           {answer: dnstest.TXT(strings.ToUpper(value), value+"8", value[1:], "")},
		"inside of a record":             {answer: dnstest.TXT("x " + value)},
		"in two records":                 {answer: dnstest.TXT(value[:20], value[20:])},
		"in a record of 60 KB":           {answer: dnstest.TXT(value + strings.Repeat(" ", 60_000))},
		"700 records":                    {answer: dnstest.TXT(append(others(700), value)...)},
		"no such name":                   {},
		"a name without records":         {answer: dnstest.Code(dns.RcodeSuccess)},
		"server failure":                 {answer: dnstest.Code(dns.RcodeServerFailure), unanswered: true},
		"refusal":                        {answer: dnstest.Code(dns.RcodeRefused), unanswered: true},
		"format error":                   {answer: dnstest.Code(dns.RcodeFormatError), unanswered: true},
		"not implemented":                {answer: dnstest.Code(dns.RcodeNotImplemented), unanswered: true},
		"a loop of aliases":              {answer: dnstest.CNAME("a.example.com", "b.example.com", name)},
		"an alias of nothing":            {answer: dnstest.CNAME("gone.example.net")},
		"silence":                        {answer: func(dns.ResponseWriter, *dns.Msg) {}, unanswered: true, silent: true},
		"bytes that are no answer":       {answer: raw(strings.Repeat("\xff", 512)), unanswered: true, silent: true},
		"nothing at all":                 {answer: raw(""), unanswered: true, silent: true},
		"truncated, and no TCP":          {answer: truncated, unanswered: true},
		"the answer to another question": {answer: ofAnother, unanswered: true, silent: true},
		"of another id":                  {answer: otherID, unanswered: true, silent: true},
		"a pointer that loops":           {answer: pointerLoop, unanswered: true, silent: true},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			server := dnstest.New(t)
			server.Set(name, tc.answer)
			resolver, err := proof.DNS(server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if tc.silent {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
			}
			found, err := proof.Look(ctx, resolver, name, value)
			if found != tc.found || errors.Is(err, proof.ErrUnanswered) != tc.unanswered || err != nil && !tc.unanswered {
				t.Errorf("Look = %v, %v; want found %v, unanswered %v", found, err, tc.found, tc.unanswered)
			}
			if err != nil && strings.Contains(err.Error(), "spf1") {
				t.Errorf("the error has what the server said: %v", err)
			}
			if server.Asked(name) == 0 {
				t.Error("the server was not asked: this proves nothing")
			}
		})
	}
}

// raw answers with bytes, over UDP only.
func raw(bytes string) dnstest.Answer {
	return func(w dns.ResponseWriter, _ *dns.Msg) {
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			_, _ = w.Write([]byte(bytes))
			return
		}
		_ = w.Close()
	}
}

func truncated(w dns.ResponseWriter, question *dns.Msg) {
	if _, udp := w.RemoteAddr().(*net.UDPAddr); !udp {
		_ = w.Close()
		return
	}
	m := new(dns.Msg).SetReply(question)
	m.Truncated = true
	_ = w.WriteMsg(m)
}

func ofAnother(w dns.ResponseWriter, question *dns.Msg) {
	question.Question[0].Name = "_meridian-challenge.example.net."
	dnstest.TXT(value)(w, question)
}

func otherID(w dns.ResponseWriter, question *dns.Msg) {
	question.Id++
	dnstest.TXT(value)(w, question)
}

// pointerLoop is a header, and a name in the answer that points at itself.
func pointerLoop(w dns.ResponseWriter, question *dns.Msg) {
	m := new(dns.Msg).SetReply(question)
	m.Question = nil
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	b[7] = 1 // one answer
	_, _ = w.Write(append(b, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 2, 1, 'x'))
}

// Look ends with its caller, and that is no miss.
func TestLookIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	resolver, err := proof.DNS(dnstest.New(t).Addr)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := proof.Look(ctx, resolver, name, value); found || !errors.Is(err, proof.ErrUnanswered) {
		t.Errorf("Look = %v, %v", found, err)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := packets.LocalAddr().String()
	if err := packets.Close(); err != nil {
		t.Fatal(err)
	}
	resolver, err := proof.DNS(address)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := proof.Look(t.Context(), resolver, name, value); found || !errors.Is(err, proof.ErrUnanswered) {
		t.Errorf("Look = %v, %v", found, err)
	}
}

func TestDNSServer(t *testing.T) {
	for _, good := range []string{"", "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:53"} {
		if r, err := proof.DNS(good); err != nil || r == nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"dns.example.com", "dns.example.com:53", "192.0.2.53:", "192.0.2.53:70000", " ", "udp://192.0.2.53"} {
		if _, err := proof.DNS(bad); err == nil {
			t.Errorf("%q is taken for a server", bad)
		}
	}
}

// FuzzRecords: whatever the records are, only one that is the value proves anything.
func FuzzRecords(f *testing.F) {
	f.Add(value)
	f.Add("\"" + value + "\"")
	f.Add("")
	f.Fuzz(func(t *testing.T, record string) {
		found, err := proof.Look(t.Context(), records{record}, name, value)
		if err != nil || found && !strings.Contains(record, value) || found && len(record) > 255 {
			t.Errorf("Look of %q = %v, %v", record, found, err)
		}
	})
}

type records []string

func (r records) LookupTXT(context.Context, string) ([]string, error) { return slices.Clone(r), nil }

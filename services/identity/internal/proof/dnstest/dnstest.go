// Package dnstest runs a DNS server on the loopback interface for tests, over UDP and
// TCP.
package dnstest

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Answer writes the answer to a question.
type Answer func(w dns.ResponseWriter, question *dns.Msg)

// Server is a DNS server. Names that it was told nothing about do not exist.
type Server struct {
	// Addr is where it listens, as 127.0.0.1:5353.
	Addr string

	mu      sync.Mutex
	answers map[string]Answer
	asked   map[string]int
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{answers: map[string]Answer{}, asked: map[string]int{}}
	packets, listener := listen(t)
	s.Addr = packets.LocalAddr().String()
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: listener, Handler: s}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		server.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// listen opens one port for both protocols.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", listener.Addr().String())
		if err == nil {
			return packets, listener
		}
		_ = listener.Close() // another test has the port for UDP
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// Set says how questions about a name are answered; nil: the name does not exist.
func (s *Server) Set(name string, answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[dns.Fqdn(name)] = answer
}

// Asked is how many questions there were about a name.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[dns.Fqdn(name)]
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	name := strings.ToLower(question.Question[0].Name)
	s.mu.Lock()
	answer := s.answers[name]
	s.asked[name]++
	s.mu.Unlock()
	if answer == nil {
		answer = Code(dns.RcodeNameError)
	}
	answer(w, question)
}

// TXT answers with records, each of strings of up to 255 bytes. Over UDP an answer that
// is too large is truncated.
func TXT(records ...string) Answer {
	return func(w dns.ResponseWriter, question *dns.Msg) {
		m := reply(question, dns.RcodeSuccess)
		for _, record := range records {
			var parts []string
			for ; len(record) > 255; record = record[255:] {
				parts = append(parts, record[:255])
			}
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header(question, dns.TypeTXT), Txt: append(parts, record)})
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			m.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(m) // who asked may be gone
	}
}

// CNAME answers with a chain of aliases that begins at the question and has no end.
func CNAME(aliases ...string) Answer {
	return func(w dns.ResponseWriter, question *dns.Msg) {
		m := reply(question, dns.RcodeSuccess)
		from := header(question, dns.TypeCNAME)
		for _, alias := range aliases {
			m.Answer = append(m.Answer, &dns.CNAME{Hdr: from, Target: dns.Fqdn(alias)})
			from.Name = dns.Fqdn(alias)
		}
		_ = w.WriteMsg(m) // who asked may be gone
	}
}

// Code answers with a code and no records.
func Code(code int) Answer {
	return func(w dns.ResponseWriter, question *dns.Msg) {
		_ = w.WriteMsg(reply(question, code)) // who asked may be gone
	}
}

// reply is as of a server that asks others.
func reply(question *dns.Msg, code int) *dns.Msg {
	m := new(dns.Msg).SetRcode(question, code)
	m.RecursionAvailable = true
	return m
}

func header(question *dns.Msg, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: question.Question[0].Name, Rrtype: kind, Class: dns.ClassINET, Ttl: 60}
}

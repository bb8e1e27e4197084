// Package proof looks for the TXT record that proves a domain. Whoever owns the
// domain also writes the answers, so that all of an answer is bounded and nothing of
// it is passed on.
package proof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	// deadline bounds one look, with all that the resolver repeats.
	deadline = 5 * time.Second
	// maxRecords is how many TXT records of an answer are looked at.
	maxRecords = 50
	// maxRecord is the length of a record that is looked at: one string of one. The
	// record that proves a domain is shorter.
	maxRecord = 255
)

// Resolver looks up TXT records. *net.Resolver is one.
type Resolver interface {
	// LookupTXT returns the TXT records of a name, the strings of a record joined. Its
	// error is a *net.DNSError with IsNotFound when the DNS says that there is none.
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// ErrUnanswered is returned when the DNS did not say whether the record is there.
var ErrUnanswered = errors.New("the DNS did not answer")

// Look says whether a name has a TXT record that holds value. White space and quotes
// around it are left aside, which forms of DNS providers add.
//
// It takes 5 s at most. A name that does not exist has no record. A server that fails,
// refuses, loops, answers nothing or too much has not answered.
//
// Errors: ErrUnanswered.
func Look(ctx context.Context, r Resolver, name, value string) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	// The dot at the end keeps the search list of the machine out.
	records, err := r.LookupTXT(ctx, name+".")
	if err != nil {
		if absent, ok := errors.AsType[*net.DNSError](err); ok && absent.IsNotFound && ctx.Err() == nil {
			return false, nil
		}
		return false, fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	for _, record := range records[:min(len(records), maxRecords)] {
		if len(record) <= maxRecord && strings.Trim(record, " \t\"") == value {
			return true, nil
		}
	}
	return false, nil
}

// DNS returns a resolver that asks a server, an IP address with or without a port, or
// those of the machine's configuration when it is empty.
//
// Errors: a server that is not such an address.
func DNS(server string) (*net.Resolver, error) {
	// Go's own: it hides no failure of a server behind "no such record".
	r := &net.Resolver{PreferGo: true, StrictErrors: true}
	if server == "" {
		return r, nil
	}
	if _, err := netip.ParseAddrPort(server); err != nil {
		address, err := netip.ParseAddr(server)
		if err != nil {
			return nil, errors.New("want the IP address of a DNS server, as 192.0.2.53 or 192.0.2.53:53")
		}
		server = netip.AddrPortFrom(address, 53).String()
	}
	r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, server)
	}
	return r, nil
}

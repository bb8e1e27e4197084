// Package outbound calls URLs that others chose, and keeps such calls from what is not
// for them. Addresses are judged when a connection is made, whatever a name led to.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const maxHeader = 16 << 10

// ErrAddress is returned for an address that nothing is sent to.
var ErrAddress = errors.New("nothing is sent to the address")

// Options are what a transport needs.
type Options struct {
	// Judge refuses addresses, by an error that wraps ErrAddress; nil means Public.
	Judge func(netip.Addr) error
	// Roots are whom certificates must come from; nil means those that the system trusts.
	Roots *x509.CertPool
	// MaxConns is how many connections there are to a host at a time, others wait; 0: any
	// number.
	MaxConns int
	// MaxIdle is how many of them wait for the next call.
	MaxIdle int
}

// Transport keeps to itself: no proxy of the environment sees what is sent.
func Transport(o Options) *http.Transport {
	if o.Judge == nil {
		o.Judge = Public
	}
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: it is none", ErrAddress)
		}
		return o.Judge(to.Addr().Unmap())
	}}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxIdle,
		MaxResponseHeaderBytes: maxHeader,
		IdleConnTimeout:        30 * time.Second,
	}
}

// Loopback refuses all addresses but those of this machine.
func Loopback(a netip.Addr) error {
	if !a.IsLoopback() {
		return fmt.Errorf("%w: it is another machine's", ErrAddress)
	}
	return nil
}

// NotLinkLocal refuses the addresses of no machine, and those where clouds serve
// credentials. Private networks may be meant.
func NotLinkLocal(a netip.Addr) error {
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("%w: it is not one machine's", ErrAddress)
	}
	return nil
}

// special are networks that are not of the public internet, beside those that netip
// knows, and those that lead to other networks by an address within the address.
//
// Source: the IANA registries of special-purpose addresses, IPv4 and IPv6.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// public is what of IPv6 is given to networks of the internet.
var public = netip.MustParsePrefix("2000::/3")

// Public refuses all addresses but those of the public internet.
func Public(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	refused := !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !public.Contains(a)
	for _, network := range special {
		refused = refused || network.Contains(a)
	}
	if refused {
		return fmt.Errorf("%w: it is not one of the public internet", ErrAddress)
	}
	return nil
}

// PublicAnd refuses all addresses but those of the public internet and of some networks,
// and link-local ones in any case.
func PublicAnd(networks []netip.Prefix) func(netip.Addr) error {
	return func(a netip.Addr) error {
		a = a.Unmap().WithZone("")
		for _, network := range networks {
			if network.Contains(a) {
				return NotLinkLocal(a)
			}
		}
		return Public(a)
	}
}

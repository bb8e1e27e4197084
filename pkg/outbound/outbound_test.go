package outbound_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/meridian-iam/meridian/pkg/outbound"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	const loopback, link, public = 1, 2, 4
	for address, may := range map[string]int{
		"127.0.0.1": loopback | link, "127.8.8.8": loopback | link, "::1": loopback | link, "::ffff:127.0.0.1": loopback | link,
		"10.1.2.3": link, "172.16.0.1": link, "192.168.1.1": link, "100.64.0.1": link, "fd00::1": link, "fec0::1": link,
		"169.254.169.254": 0, "::ffff:169.254.169.254": 0, "fe80::1": 0, "0.0.0.0": 0, "::": 0, "224.0.0.1": 0, "ff02::1": 0,
		"255.255.255.255": link, "0.1.2.3": link, "192.0.0.192": link, "192.0.2.1": link, "198.18.0.1": link, "203.0.113.9": link, "240.0.0.1": link,
		"64:ff9b::7f00:1": link, "2002:7f00:1::": link, "2001:0:1::": link, "2001:db8::1": link, "::7f00:1": link, "fd00:ec2::254": link,
		"1.1.1.1": link | public, "172.32.0.1": link | public, "2606:4700::1111": link | public, "::ffff:1.1.1.1": link | public,
	} {
		a := netip.MustParseAddr(address).Unmap()
		for judge, bit := range map[string]int{"loopback": loopback, "not link-local": link, "public": public} {
			err := map[string]func(netip.Addr) error{
				"loopback": outbound.Loopback, "not link-local": outbound.NotLinkLocal, "public": outbound.Public,
			}[judge](a)
			if (err == nil) != (may&bit != 0) || err != nil && !errors.Is(err, outbound.ErrAddress) {
				t.Errorf("%s: %s: %v", address, judge, err)
			}
		}
	}
}

// A name is judged by where it leads, and no proxy is asked.
func TestTransport(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.invalid")
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	get := func(judge func(netip.Addr) error) error {
		transport := outbound.Transport(outbound.Options{Judge: judge})
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+server.URL[len("http://127.0.0.1"):], nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	if err := get(outbound.Loopback); err != nil {
		t.Errorf("this machine: %v", err)
	}
	if err := get(outbound.Public); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("this machine, as one of the internet: %v", err)
	}
}

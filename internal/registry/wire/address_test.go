package wire

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for addr, tc := range map[string]struct {
		reason            string
		refused, loopback bool
	}{
		"10.1.2.3":               {reason: "registries have private addresses"},
		"172.16.0.1":             {reason: "of each block"},
		"192.168.1.1":            {reason: "of each block"},
		"fd12:3456::1":           {reason: "and in IPv6"},
		"100.64.0.1":             {reason: "a carrier's own addresses"},
		"192.0.2.1":              {reason: "a public address"},
		"2001:db8::1":            {reason: "a public address"},
		"64:ff9b::192.0.2.1":     {reason: "a public address behind a gateway"},
		"127.0.0.1":              {reason: "this machine", loopback: true},
		"127.8.9.10":             {reason: "this machine, too", loopback: true},
		"::1":                    {reason: "this machine in IPv6", loopback: true},
		"::ffff:127.0.0.1":       {reason: "another form of it", loopback: true},
		"64:ff9b::127.0.0.1":     {reason: "a gateway's own", loopback: true},
		"169.254.169.254":        {reason: "where clouds tell secrets", refused: true},
		"169.254.0.1":            {reason: "the link", refused: true},
		"::ffff:169.254.169.254": {reason: "another form of it", refused: true},
		"64:ff9b::169.254.1.1":   {reason: "a gateway's link", refused: true},
		"fe80::1":                {reason: "the link in IPv6", refused: true},
		"fe80::1%eth0":           {reason: "on one interface", refused: true},
		"0.0.0.0":                {reason: "this machine, for Linux", refused: true},
		"0.1.2.3":                {reason: "this network", refused: true},
		"::":                     {reason: "this machine, for Linux", refused: true},
		"224.0.0.1":              {reason: "multicast", refused: true},
		"239.1.2.3":              {reason: "multicast", refused: true},
		"ff02::1":                {reason: "multicast", refused: true},
		"255.255.255.255":        {reason: "broadcast", refused: true},
		"fd00:ec2::254":          {reason: "where a cloud tells secrets", refused: true},
		"100.100.100.200":        {reason: "where a cloud tells secrets", refused: true},
		"168.63.129.16":          {reason: "where a cloud tells secrets", refused: true},
	} {
		at := netip.MustParseAddr(addr)
		for addresses, refused := range map[Addresses]bool{AnyAddress: false, RemoteAddresses: tc.refused || tc.loopback, RemoteAndLoopback: tc.refused} {
			err := addresses.control("tcp", netip.AddrPortFrom(at, 443).String(), nil)
			if errors.Is(err, ErrAddress) != refused || errors.Is(err, failure.ErrConfig) != refused || (err != nil) != refused {
				t.Errorf("%s, %s: %d says %v, want refused: %t", addr, tc.reason, addresses, err, refused)
			}
			if err != nil && strings.Contains(err.Error(), "only with --allow-loopback-registries") != tc.loopback {
				t.Errorf("%s, %s: the flag that helps is to be named: %t; it says %v", addr, tc.reason, tc.loopback, err)
			}
		}
	}
}

// A proxy resolves names, so only hosts that are written as an address or as localhost can be checked here.
func TestHostsBehindAProxy(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"registry.example.com": false, "10.1.2.3": false, "localhost.example.com": false,
		"169.254.169.254": true, "127.0.0.1": true, "::1": true, "localhost": true, "LOCALHOST.": true, "a.localhost": true,
	} {
		if err := RemoteAddresses.checkHost(host); errors.Is(err, ErrAddress) != want {
			t.Errorf("%s: %v, want refused: %t", host, err, want)
		}
	}
	if err := RemoteAndLoopback.checkHost("localhost"); err != nil {
		t.Errorf("localhost is refused where loopback is allowed: %v", err)
	}
}

// The person who runs the program chooses the proxy. It may be on the same machine.
func TestProxiesAreNotRefused(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(proxy.Close)
	r := newRoute(&http.Transport{}, RemoteAddresses)
	t.Cleanup(r.CloseIdleConnections)
	for name, tc := range map[string]struct {
		transport http.RoundTripper
		refused   bool
	}{"proxied": {r.proxying, false}, "direct": {r.direct, true}, "chosen": {r, true}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tc.transport.RoundTrip(req)
		if errors.Is(err, ErrAddress) != tc.refused {
			t.Errorf("%s: %v, want refused: %t", name, err, tc.refused)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

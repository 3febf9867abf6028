package wire

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// ErrAddress means that this client does not connect to the address of the
// registry, of a redirect's target, or of the token server. It wraps ErrConfig.
var ErrAddress = fmt.Errorf("%w: refused address", failure.ErrConfig)

// Addresses says to which addresses a client connects. The client checks the address of each connection
// after resolving the name, which covers redirects, token servers and names whose address changes.
//
// Private addresses (RFC 1918, fc00::/7) are never refused, because registries use them. Behind an HTTP proxy,
// the proxy resolves the names, and the client checks only hosts that are written as an address or as localhost.
type Addresses int

const (
	// AnyAddress refuses no address. It is for programs that a person runs on their own machine.
	AnyAddress Addresses = iota
	// RemoteAddresses is for programs in a cluster, where a user who configures a registry may have no
	// permission to connect from the program's network. It refuses loopback, link-local, multicast, broadcast
	// and unspecified addresses, and the metadata services of clouds, which give a machine its secrets.
	RemoteAddresses
	// RemoteAndLoopback is RemoteAddresses plus loopback, for tests
	// and for a registry in the same pod or on the same machine.
	RemoteAndLoopback
)

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.MustParseAddr("255.255.255.255")
	// translated has IPv6 addresses that a gateway translates to the IPv4 address in their last 4 bytes (RFC 6052).
	translated = netip.MustParsePrefix("64:ff9b::/96")
	// The metadata services of most clouds, of Amazon and Google over IPv6, of Alibaba and of Azure.
	metadata = []netip.Addr{
		netip.MustParseAddr("169.254.169.254"),
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
		netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
	}
)

const loopback = "a loopback address"

// refusedAddress is the error for an address that is refused.
type refusedAddress struct {
	addr netip.Addr
	kind string
}

// loopbackFlag allows loopback addresses, in every program that refuses them by default.
const loopbackFlag = "--allow-loopback-registries"

func (r *refusedAddress) Error() string {
	if r.kind == loopback {
		return fmt.Sprintf("%s is %s, which this program connects to only with %s", r.addr, r.kind, loopbackFlag)
	}
	return fmt.Sprintf("%s is %s, which this program does not connect to", r.addr, r.kind)
}

func (r *refusedAddress) Unwrap() error { return ErrAddress }

// check refuses an address. Errors wrap ErrAddress.
func (a Addresses) check(addr netip.Addr) error {
	kind := ""
	at := addr.WithZone("").Unmap()
	if translated.Contains(at) {
		last := at.As16()
		at = netip.AddrFrom4([4]byte(last[12:]))
	}
	switch {
	case a == AnyAddress:
	case at.IsLoopback() && a != RemoteAndLoopback:
		kind = loopback
	case slices.Contains(metadata, at):
		kind = "a cloud's metadata service"
	case at.IsLinkLocalUnicast():
		kind = "a link-local address"
	case at.IsMulticast(), at == broadcast:
		kind = "a multicast address"
	case at.IsUnspecified(), thisNetwork.Contains(at):
		kind = "an unspecified address"
	}
	if kind == "" {
		return nil
	}
	return &refusedAddress{addr, kind}
}

// control checks the address of a connection before it is made. It is a net.Dialer's Control.
func (a Addresses) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not an address", ErrAddress, address)
	}
	return a.check(at.Addr())
}

// checkHost refuses a host that is written as a refused address, or as localhost.
func (a Addresses) checkHost(host string) error {
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return a.check(netip.IPv6Loopback())
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	return a.check(addr)
}

// route sends a request through the proxy if the environment configures one, and otherwise directly. It needs
// two transports because the address of the proxy is not checked: the person who runs the program has chosen it.
type route struct {
	addresses        Addresses
	direct, proxying *http.Transport
}

// newRoute makes a route from a transport that has no proxy and no dialer yet.
func newRoute(t *http.Transport, a Addresses) *route {
	r := &route{addresses: a, direct: t, proxying: t.Clone()}
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	r.proxying.DialContext, r.proxying.Proxy = dialer.DialContext, http.ProxyFromEnvironment
	guarded := dialer
	guarded.Control = a.control
	r.direct.DialContext = guarded.DialContext
	return r
}

// RoundTrip sends a request. Errors wrap ErrAddress if the address is refused.
func (r *route) RoundTrip(req *http.Request) (*http.Response, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err == nil && proxy == nil {
		return r.direct.RoundTrip(req)
	}
	if err := r.addresses.checkHost(req.URL.Hostname()); err != nil {
		if req.Body != nil {
			err = errors.Join(err, req.Body.Close())
		}
		return nil, err
	}
	return r.proxying.RoundTrip(req)
}

// CloseIdleConnections closes the connections that no request uses.
func (r *route) CloseIdleConnections() {
	r.direct.CloseIdleConnections()
	r.proxying.CloseIdleConnections()
}

// AddressesOf returns the addresses to which a program in a cluster connects.
func AddressesOf(allowLoopback bool) Addresses {
	if allowLoopback {
		return RemoteAndLoopback
	}
	return RemoteAddresses
}

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

// ErrAddress means that the registry, what it redirects to, or its token server is at an address that this
// client does not connect to. It wraps ErrConfig.
var ErrAddress = fmt.Errorf("%w: refused address", failure.ErrConfig)

// Addresses says to which addresses a client connects. They are checked after names have been resolved, at
// each connection, so that redirects, token servers and names that change their address are covered.
//
// Private addresses (RFC 1918, fc00::/7) are never refused, for registries have them. Behind an HTTP proxy the
// names are resolved by the proxy, and only a host that is written as an address is checked.
type Addresses int

const (
	// AnyAddress is for the programs that a person runs on a machine of their own.
	AnyAddress Addresses = iota
	// RemoteAddresses is for programs in a cluster, where those who name a registry may not be those who may
	// connect from there. Refused are loopback, link-local, multicast, broadcast and unspecified addresses, and
	// those at which clouds tell a machine its secrets.
	RemoteAddresses
	// RemoteAndLoopback is RemoteAddresses and loopback, for tests and for a registry beside the program.
	RemoteAndLoopback
)

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.MustParseAddr("255.255.255.255")
	// An IPv4 address in the last 4 bytes, to which a gateway translates (RFC 6052).
	translated = netip.MustParsePrefix("64:ff9b::/96")
	// Of most clouds, then of Amazon and Google in IPv6, of Alibaba and of Azure.
	metadata = []netip.Addr{
		netip.MustParseAddr("169.254.169.254"),
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
		netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
	}
)

const loopback = "a loopback address"

// refusedAddress is why an address is refused.
type refusedAddress struct {
	addr netip.Addr
	kind string
}

// loopbackFlag is the flag of all programs that refuse loopback addresses which lets them connect there.
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

// control checks a connection before it is made; it is a net.Dialer's Control.
func (a Addresses) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not an address", ErrAddress, address)
	}
	return a.check(at.Addr())
}

// checkHost refuses a host that is written as an address, or as the name of this machine.
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

// route sends requests through a proxy where the environment names one, and else directly. They are two
// transports because the address of a proxy is not refused: who runs this program has chosen it.
type route struct {
	addresses        Addresses
	direct, proxying *http.Transport
}

// newRoute takes a transport that has no proxy and no dialer yet.
func newRoute(t *http.Transport, a Addresses) *route {
	r := &route{addresses: a, direct: t, proxying: t.Clone()}
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	r.proxying.DialContext, r.proxying.Proxy = dialer.DialContext, http.ProxyFromEnvironment
	guarded := dialer
	guarded.Control = a.control
	r.direct.DialContext = guarded.DialContext
	return r
}

// RoundTrip sends a request. Errors wrap ErrAddress when it is not sent for its address.
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

// AddressesOf are those that a program in a cluster connects to.
func AddressesOf(allowLoopback bool) Addresses {
	if allowLoopback {
		return RemoteAndLoopback
	}
	return RemoteAddresses
}

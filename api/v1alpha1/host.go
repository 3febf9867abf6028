package v1alpha1

import (
	"net"
	"net/netip"
	"strings"
)

// CanonicalHost returns the one name by which a login or an image names a registry host: lower case, and
// docker.io for the names of Docker Hub. The port is part of it.
func CanonicalHost(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return "docker.io"
	}
	return host
}

// translated are the addresses at which a gateway stands for the IPv4 address in the last 4 bytes (RFC 6052).
var translated = netip.MustParsePrefix("64:ff9b::/96")

// placeHost returns the one name by which hosts are compared to tell whose a place is. It takes more hosts for
// one than CanonicalHost does, because two stores that are wrongly taken for one only have to be kept apart,
// while two that are wrongly taken for two delete each other's artifacts. The ports 80 and 443 are the same as
// none, since the scheme does not matter; a dot at the end does not count; every form of an address is the same
// address; and every loopback or unspecified address is this machine, localhost.
func placeHost(host string) string {
	name, port := host, ""
	if n, p, err := net.SplitHostPort(host); err == nil {
		name, port = n, strings.TrimLeft(p, "0")
	}
	name = strings.TrimRight(strings.Trim(strings.ToLower(name), "[]"), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		name = placeAddress(addr)
	} else if strings.HasSuffix(name, ".localhost") {
		name = "localhost"
	}
	name = CanonicalHost(name)
	if port == "" || port == "80" || port == "443" {
		return name
	}
	return net.JoinHostPort(name, port)
}

func placeAddress(addr netip.Addr) string {
	addr = addr.WithZone("").Unmap()
	if translated.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if addr.IsLoopback() || addr.IsUnspecified() {
		return "localhost"
	}
	return addr.String()
}

package access

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/nfo-operator/nfo/internal/share"
)

// maxStranger bounds the concurrent questions of one address about tokens that are not
// known, and maxStrangerWaiting the requests that wait for one of these turns.
const maxStranger, maxStrangerWaiting = 8, 64

// strangers bounds questions about unknown tokens by address, before the
// API server is asked, because anyone can invent any number of tokens.
type strangers struct {
	at *share.Shares[netip.Prefix, share.Turns]
}

func newStrangers() strangers {
	return strangers{share.New[netip.Prefix](func() share.Turns { return share.NewTurns(maxStranger, maxStrangerWaiting) })}
}

// enter waits for a turn of an address until ctx ends, and fails at
// once if too many others wait for one. The caller must call leave.
func (s strangers) enter(ctx context.Context, address netip.Prefix) (leave func(), err error) {
	own, done := s.at.Take(address)
	if own.Take(ctx) != nil {
		done()
		return nil, errBusy
	}
	return func() { own.Return(); done() }, nil
}

// AddressOf returns the address of a request: a host, or for IPv6 a /64, because one host can have all its addresses.
// It returns the zero value if the address is unknown.
func AddressOf(r *http.Request) netip.Prefix {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	address, bits := from.Addr().Unmap().WithZone(""), 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

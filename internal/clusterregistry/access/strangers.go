package access

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/nfo-operator/nfo/internal/share"
)

// maxStranger bounds the questions of one address about tokens that were not good lately.
const maxStranger = 8

// strangers has those who send tokens that were not good lately take turns by address, before the API server is asked:
// anybody can make up any number of tokens.
type strangers struct {
	at *share.Shares[netip.Prefix, chan struct{}]
}

func newStrangers() strangers {
	return strangers{share.New[netip.Prefix](func() chan struct{} { return make(chan struct{}, maxStranger) })}
}

// enter waits for a turn of an address until ctx ends. The caller must leave.
func (s strangers) enter(ctx context.Context, address netip.Prefix) (leave func(), err error) {
	turns, done := s.at.Take(address)
	select {
	case turns <- struct{}{}:
		return func() { <-turns; done() }, nil
	case <-ctx.Done():
		done()
		return nil, errBusy
	}
}

// addressOf is where a request comes from: a host, and of IPv6 a /64, which one host can have all of. It is the zero value
// if that is unknown.
func addressOf(r *http.Request) netip.Prefix {
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

package access

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
)

// maxStranger bounds the questions of one address about tokens that were not good lately.
const maxStranger = 8

// strangers has those who send tokens that were not good lately take turns by address, before the API server is asked:
// anybody can make up any number of tokens.
type strangers struct {
	mu sync.Mutex
	at map[netip.Prefix]*stranger
}

type stranger struct {
	turns chan struct{}
	users int
}

// enter waits for a turn of an address until ctx ends. The caller must leave.
func (s *strangers) enter(ctx context.Context, address netip.Prefix) (leave func(), err error) {
	s.mu.Lock()
	one, ok := s.at[address]
	if !ok {
		one = &stranger{turns: make(chan struct{}, maxStranger)}
		s.at[address] = one
	}
	one.users++
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(s.at, address)
		}
	}
	select {
	case one.turns <- struct{}{}:
		return func() { <-one.turns; forget() }, nil
	case <-ctx.Done():
		forget()
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

package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// connectTimeout bounds connecting to a replica, the TLS handshake, and a lookup of the addresses, each.
	connectTimeout = time.Second
	// replicaTimeout is the time within which the answer of a replica must begin, before the next one is asked.
	replicaTimeout = 2500 * time.Millisecond
	// maxReplicas bounds the known replicas, and maxAsked the replicas to which one request is sent.
	maxReplicas = 32
	maxAsked    = 3
	// lookup is how long addresses are used before they are looked up again.
	// avoidFor is how long a replica that has failed is asked only after all others.
	lookup   = 10 * time.Second
	avoidFor = 10 * time.Second
)

var (
	errNoReplica = errors.New("it has no replica that is ready")
	errNoTime    = fmt.Errorf("%w: no time was left to ask a replica", registry.ErrUnavailable)
)

// replicas sends requests to the replicas of the registry that nfo ships.
type replicas struct {
	o          Options
	transports *transports
	turn       atomic.Uint32

	mu     sync.Mutex
	known  []string
	looked time.Time
	// failed is the time of the last failure of a known replica, by address.
	failed map[string]time.Time
}

func newReplicas(o Options) (*replicas, error) {
	if len(o.Registry) == 0 {
		return nil, errors.New("reading the address of the registry: it is missing")
	}
	for i, address := range o.Registry {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("reading the address of the registry: %w", err)
		}
		if i == 0 && o.ServerName == "" {
			o.ServerName = host
		}
	}
	return &replicas{o: o, transports: newTransports(o.Files, o.ServerName), failed: map[string]time.Time{}}, nil
}

// ask asks the replicas one after the other, until one has an answer. Errors wrap errMissing if a replica says that it
// does not have the image; no other replica is asked then, because all have the same volume.
func (s *replicas) ask(ctx context.Context, asked ask, header http.Header, until time.Time) (*answer, error) {
	transport, err := s.transports.now()
	if err != nil {
		return nil, err
	}
	looking, cancel := half(ctx, until)
	defer cancel()
	addresses, err := s.addresses(looking)
	if err == nil && len(addresses) == 0 {
		err = errNoReplica
	}
	if err != nil {
		return nil, err
	}
	err = errNoTime
	for _, address := range s.order(addresses) {
		left := time.Until(until)
		if left <= 0 || ctx.Err() != nil {
			break
		}
		var got *answer
		got, err = s.one(ctx, transport, address, asked, header, min(left, replicaTimeout))
		switch {
		case err == nil:
			return got, nil
		case errors.Is(err, errMissing), errors.Is(err, registry.ErrDenied):
			return nil, err
		}
		if ctx.Err() == nil { // otherwise the node has given up, and the replica may be healthy
			s.fails(address)
		}
	}
	return nil, err
}

// one sends the request to one replica.
func (s *replicas) one(ctx context.Context, transport http.RoundTripper, address string, asked ask, header http.Header, limit time.Duration) (*answer, error) {
	begun := time.Now()
	got, err := within(ctx, limit, func(ctx context.Context) (*http.Response, error) {
		u := url.URL{Scheme: "https", Host: address, Path: "/v2/" + asked.image.MirrorRepository() + "/" + asked.what()}
		req, err := http.NewRequestWithContext(ctx, asked.method, u.String(), http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("asking a replica: %w", err)
		}
		req.Header, req.Host = header.Clone(), s.o.ServerName
		req.Header.Set("User-Agent", "nfo-agent")
		return transport.RoundTrip(req) // RoundTrip follows no redirect
	})
	if err != nil {
		return nil, fmt.Errorf("asking the replica %s: %w", address, err)
	}
	if got.ok() {
		if err = got.named(asked); err == nil && asked.verifies() {
			err = got.verify(asked, limit-time.Since(begun))
		}
		if err == nil {
			return got, nil
		}
	}
	got.close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking the replica %s: %w", address, err)
	case got.status == http.StatusNotFound:
		return nil, errMissing
	case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden:
		return nil, fmt.Errorf("%w: it does not accept the client certificate of this agent", registry.ErrDenied)
	}
	return nil, fmt.Errorf("%w: the replica %s answers %d %s", registry.ErrUnavailable, address, got.status, http.StatusText(got.status))
}

// addresses returns the addresses of the replicas. It looks them up if the last lookup is too
// old. If the lookup fails, it returns the old ones, and no request waits for another lookup soon.
func (s *replicas) addresses(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	known, fresh := s.known, time.Since(s.looked) < lookup
	s.mu.Unlock()
	if fresh {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	found, err := s.lookUp(ctx)
	if err != nil && len(found) == 0 {
		if len(known) > 0 {
			if !errors.Is(ctx.Err(), context.Canceled) { // otherwise the node has given up, and the lookup might have succeeded
				s.mu.Lock()
				s.looked = time.Now()
				s.mu.Unlock()
			}
			return known, nil
		}
		return nil, fmt.Errorf("looking up the replicas: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.looked = found[:min(len(found), maxReplicas)], time.Now()
	s.forget()
	return s.known, nil
}

// forget drops the failures of replicas that are no longer known, and failures older than avoidFor.
func (s *replicas) forget() {
	still := map[string]time.Time{}
	for _, address := range s.known {
		if at, ok := s.failed[address]; ok && time.Since(at) < avoidFor {
			still[address] = at
		}
	}
	s.failed = still
}

// lookUp resolves the hosts. A host without an address is not an error: it has no ready replica.
func (s *replicas) lookUp(ctx context.Context) (found []string, err error) {
	if s.o.Replicas != nil {
		return s.o.Replicas(ctx)
	}
	for _, address := range s.o.Registry {
		host, port, splitErr := net.SplitHostPort(address)
		ips, lookupErr := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		var missing *net.DNSError
		if !errors.As(lookupErr, &missing) || !missing.IsNotFound {
			err = errors.Join(err, splitErr, lookupErr)
		}
		for _, ip := range ips {
			found = append(found, net.JoinHostPort(ip.Unmap().String(), port))
		}
	}
	return found, err
}

// order returns the replicas in the order in which they are asked, at most maxAsked. Each request begins with the next
// replica, and those that have failed recently come last.
func (s *replicas) order(addresses []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var good, bad []string
	first := int(s.turn.Add(1) % (1 << 16))
	for i := range addresses {
		address := addresses[(first+i)%len(addresses)]
		if time.Since(s.failed[address]) < avoidFor {
			bad = append(bad, address)
		} else {
			good = append(good, address)
		}
	}
	all := append(good, bad...)
	return all[:min(len(all), maxAsked)]
}

func (s *replicas) fails(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[address] = time.Now()
}

// newTransport returns a transport to the replicas, whose addresses come from the cluster's DNS.
func newTransport(config *tls.Config) *http.Transport {
	dialer := net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: connectTimeout,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
}

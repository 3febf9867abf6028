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
	// connectTimeout bounds connecting to a replica, and so does it the handshake of TLS.
	connectTimeout = time.Second
	// replicaTimeout bounds when the answer of one replica begins, so that another one can be asked.
	replicaTimeout = 2500 * time.Millisecond
	// maxReplicas is how many are known, and maxAsked how many of them one request is sent to.
	maxReplicas = 32
	maxAsked    = 3
	// lookup is how long known addresses are used, and avoided for how long a replica that has failed is asked last.
	lookup  = 10 * time.Second
	avoided = 10 * time.Second
)

var errNoReplica = errors.New("it has no replica that is ready")

// replicas asks the replicas of the registry that nfo ships.
type replicas struct {
	o          Options
	transports *transports
	turn       atomic.Uint32

	mu     sync.Mutex
	known  []string
	looked time.Time
	// failed is when a replica has failed last, of those that are known.
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

// ask asks one replica after the other, until one has an answer. Errors wrap errMissing where one says that it does not
// have the image: the others have the same volume.
func (s *replicas) ask(ctx context.Context, asked ask, header http.Header, until time.Time) (*answer, error) {
	transport, err := s.transports.now()
	if err != nil {
		return nil, err
	}
	addresses, err := s.addresses(ctx)
	if err != nil {
		return nil, err
	}
	err = errNoReplica
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
		if ctx.Err() == nil { // otherwise the node has gone, and the replica may be well
			s.fails(address)
		}
	}
	return nil, err
}

// one asks one replica.
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
		return transport.RoundTrip(req) // which follows no redirect
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

// addresses are those of the replicas: looked up if it was some time ago, and the old ones while nobody answers that.
func (s *replicas) addresses(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	known, fresh := s.known, time.Since(s.looked) < lookup
	s.mu.Unlock()
	if fresh {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	found, err := s.look(ctx)
	if err != nil && len(found) == 0 {
		if len(known) > 0 {
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

// forget drops the failures of replicas that have gone, and old ones.
func (s *replicas) forget() {
	still := map[string]time.Time{}
	for _, address := range s.known {
		if at, ok := s.failed[address]; ok && time.Since(at) < avoided {
			still[address] = at
		}
	}
	s.failed = still
}

// look resolves the hosts. One that has no address has no replica that is ready.
func (s *replicas) look(ctx context.Context) (found []string, err error) {
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

// order is in which order the replicas are asked: each request begins at the next one, and those that have just failed
// are last.
func (s *replicas) order(addresses []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var good, bad []string
	first := int(s.turn.Add(1) % (1 << 16))
	for i := range addresses {
		address := addresses[(first+i)%len(addresses)]
		if time.Since(s.failed[address]) < avoided {
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

// newTransport connects to replicas. Their addresses are from the cluster's DNS.
func newTransport(config *tls.Config) *http.Transport {
	dialer := net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: connectTimeout,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
}

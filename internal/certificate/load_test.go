package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// history records which bundle was injected at which time.
type history struct {
	sync.Mutex
	entries []historyEntry
}

type historyEntry struct {
	from   time.Time
	bundle string
}

func (h *history) add(now time.Time, bundle []byte) {
	h.Lock()
	defer h.Unlock()
	if n := len(h.entries); n == 0 || h.entries[n-1].bundle != string(bundle) {
		h.entries = append(h.entries, historyEntry{from: now, bundle: string(bundle)})
	}
}

// at returns the bundle that was injected at a time; the first bundle for any time before it.
func (h *history) at(then time.Time) string {
	h.Lock()
	defer h.Unlock()
	for i := len(h.entries) - 1; i > 0; i-- {
		if !h.entries[i].from.After(then) {
			return h.entries[i].bundle
		}
	}
	return h.entries[0].bundle
}

// serve accepts connections, and answers each with a handshake and a byte.
func serve(t *testing.T, k *Keeper) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: k.GetCertificate, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				// The client notices and counts a failure.
				_, _ = conn.Write([]byte{1})
				_ = conn.Close()
			})
		}
	})
	return listener.Addr().String()
}

// caller is an API server that reads bundles with the delay lag.
type caller struct {
	address, name  string
	lag            time.Duration
	done, failures atomic.Int64
	first          atomic.Pointer[error]
	progress       chan struct{}
}

// call makes TLS handshakes until ctx ends.
func (c *caller) call(ctx context.Context, clk *clocktesting.FakeClock, h *history) {
	for ctx.Err() == nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(h.at(clk.Now().Add(-c.lag))))
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{RootCAs: roots, ServerName: c.name, Time: clk.Now, MinVersion: tls.VersionTLS12}}
		conn, err := dialer.DialContext(ctx, "tcp", c.address)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%s, lag %s: %w", clk.Now(), c.lag, err)
			c.first.CompareAndSwap(nil, &err)
			c.failures.Add(1)
		}
		c.done.Add(1)
		select {
		case c.progress <- struct{}{}:
		default:
		}
	}
}

// waitForTwo waits until every caller has begun and ended a handshake after the call.
func waitForTwo(ctx context.Context, callers []*caller) error {
	var before []int64
	for _, c := range callers {
		before = append(before, c.done.Load())
	}
	for i, c := range callers {
		for c.done.Load() < before[i]+2 {
			select {
			case <-c.progress:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// Eight years pass, with all rotations of leaves and one rotation of the authority, while API
// servers with new and with old bundles call two replicas all the time. No call may fail.
func TestNoCallFailsWhileAllIsRotated(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	clk, h := clocktesting.NewFakeClock(start), &history{}
	cluster := aCluster(aConfiguration())
	replicas := []*Keeper{aKeeper(cluster, clk), aKeeper(cluster, clk)}
	var callers []*caller
	for i, k := range replicas {
		ensure(t, k)
		address := serve(t, k)
		for j, lag := range []time.Duration{0, 10 * time.Minute, overlap - 11*time.Minute} {
			callers = append(callers, &caller{address: address, name: names[(i+j)%len(names)], lag: lag, progress: make(chan struct{}, 1)})
		}
	}
	h.add(clk.Now(), injected(t, cluster))
	calling, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, c := range callers {
		all.Go(func() { c.call(calling, clk, h) })
	}
	leaves, last := 0, replicas[0].serving.Load()
	for turn := 0; clk.Now().Before(start.Add(8*365*day)) || len(stored(t, cluster).bundle) > 1; turn++ {
		step := 30 * day
		if len(stored(t, cluster).bundle) > 1 {
			step = 10 * time.Minute
		}
		clk.Step(step)
		for i := range replicas {
			// Callers call between the two, so that one replica is ahead
			// of the other. The replicas take turns in being first.
			k := replicas[(i+turn)%2]
			ensure(t, k)
			h.add(clk.Now(), injected(t, cluster))
			if err := k.Ready(nil); err != nil {
				t.Fatal(err)
			}
			if err := waitForTwo(ctx, callers); err != nil {
				t.Fatal(err)
			}
		}
		if leaf := replicas[0].serving.Load(); !same(leaf, last) {
			leaves, last = leaves+1, leaf
		}
	}
	stop()
	all.Wait()
	var done, failures int64
	for _, c := range callers {
		done, failures = done+c.done.Load(), failures+c.failures.Load()
		if err := c.first.Load(); err != nil {
			t.Error(*err)
		}
	}
	t.Logf("%d handshakes, %d failed, with %d new leaves and %d bundles", done, failures, leaves, len(h.entries))
	if leaves < 40 || len(h.entries) != 3 {
		t.Errorf("%d leaves and %d bundles are not what eight years make", leaves, len(h.entries))
	}
}

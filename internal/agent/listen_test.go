package agent

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Both loopback addresses speak plain HTTP and TLS on one port.
func TestServe(t *testing.T) {
	t.Parallel()
	listeners, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := aScene(t, nil)
	s.mirror(t, "acme/upf", "a")
	go func() { ended <- Serve(ctx, listeners, s.agent) }()
	unverified := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // as a runtime does at loopback addresses
	defer unverified.CloseIdleConnections()
	if len(listeners) < 2 {
		t.Log("this machine has no IPv6")
	}
	for _, l := range listeners {
		for _, scheme := range []string{"http://", "https://"} {
			if got := request(t, unverified, scheme+l.Addr().String()+s.path("acme/upf", "manifests/1")); got.status != 200 {
				t.Errorf("%s%s: %d %s", scheme, l.Addr(), got.status, got.body)
			}
		}
	}
	unverified.CloseIdleConnections()
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, l := range listeners {
		if again, err := new(net.ListenConfig).Listen(t.Context(), "tcp", l.Addr().String()); err != nil {
			t.Errorf("the port is still taken: %v", err)
		} else {
			_ = again.Close()
		}
	}
}

// If another process has the port at one of the addresses, the agent opens it at neither.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				t.Skip("this machine has no such address")
			}
			defer func() { _ = l.Close() }()
			taken := l.Addr().(*net.TCPAddr).Port
			if _, err := Listen(t.Context(), taken); err == nil || !strings.Contains(err.Error(), "another process of this node has it") {
				t.Fatal(err)
			}
			_ = l.Close()
			again, err := Listen(t.Context(), taken)
			if err != nil {
				t.Fatalf("one of the addresses is still taken: %v", err)
			}
			for _, l := range again {
				_ = l.Close()
			}
		})
	}
}

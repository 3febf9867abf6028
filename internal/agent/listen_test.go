package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
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
	go func() { ended <- Serve(ctx, listeners, s.agent, slog.New(slog.DiscardHandler)) }()
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

// exhaustedListener is a listener that first returns errors instead of connections.
type exhaustedListener struct {
	net.Listener
	errs []error
}

func (l *exhaustedListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return l.Listener.Accept()
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

// The agent goes on after the process or the node had too few resources for a connection. Other errors end it.
func TestExhausted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		errs   []error
		ends   bool
	}{
		{"too few resources", []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}, false},
		{"the listener is broken", []error{syscall.EMFILE, syscall.EINVAL}, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			listeners, err := Listen(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			listeners[0] = &exhaustedListener{listeners[0], tt.errs}
			ctx, end := context.WithCancel(t.Context())
			defer end()
			ended := make(chan error, 1)
			s := aScene(t, nil)
			s.mirror(t, "acme/upf", "a")
			go func() { ended <- Serve(ctx, listeners, s.agent, slog.New(slog.DiscardHandler)) }()
			if !tt.ends {
				client := &http.Client{Transport: &http.Transport{}}
				if got := request(t, client, "http://"+listeners[0].Addr().String()+s.path("acme/upf", "manifests/1")); got.status != 200 {
					t.Errorf("%d %s %v", got.status, got.body, got.err)
				}
				client.CloseIdleConnections()
				end()
			}
			if err := <-ended; (err != nil) != tt.ends || tt.ends && !errors.Is(err, syscall.EINVAL) {
				t.Error(err)
			}
		})
	}
}

// While the agent waits for resources, it can still be ended.
func TestExhaustedEnds(t *testing.T) {
	t.Parallel()
	listeners, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		var errs []error
		for range 1000 {
			errs = append(errs, syscall.EMFILE)
		}
		l := &exhaustedListener{listeners[0], errs}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		began := time.Now()
		m := &mux{open: make(chan struct{}, 1), log: slog.New(slog.NewTextHandler(&said, nil))}
		go func() { ended <- m.accept(ctx, l) }()
		time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
		end()
		if err := <-ended; err != nil || time.Since(began) > time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if n := 1000 - len(l.errs); n < 60 || n > 70 {
			t.Errorf("it tried %d times in a minute, which is not about once a second", n)
		}
		if n := strings.Count(said.String(), "too many open files"); n != 1 {
			t.Errorf("it is logged %d times:\n%s", n, &said)
		}
	})
}

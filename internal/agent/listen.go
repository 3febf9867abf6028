package agent

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// firstByteTimeout is how long a connection may stay open before its first byte, which shows its protocol.
	firstByteTimeout = 10 * time.Second
	// maxConnections bounds the open connections. Others wait to be accepted.
	maxConnections = 1024
	// minPause and maxPause bound the pause after a connection could not be accepted for lack of resources. Each
	// pause is twice as long as the one before.
	minPause = 5 * time.Millisecond
	maxPause = time.Second
	// shutdownTimeout is how long responses may continue after the agent was told to stop.
	shutdownTimeout = 20 * time.Second
	// recordHandshake is the first byte of every TLS connection. No HTTP request begins with it.
	recordHandshake = 0x16
)

// Listen opens a port at both loopback addresses, or only at the IPv4 address if the node has no IPv6. After an error
// the agent does not have the port, and no container runtime may be configured to use it.
func Listen(ctx context.Context, port int) ([]net.Listener, error) {
	var all []net.Listener
	var config net.ListenConfig
	for _, host := range []string{"127.0.0.1", "::1"} {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		l, err := config.Listen(ctx, "tcp", address)
		switch {
		case err == nil:
			all = append(all, l)
			if port == 0 {
				port = l.Addr().(*net.TCPAddr).Port
			}
			continue
		case host == "::1" && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)):
			continue // the node has no IPv6
		case errors.Is(err, syscall.EADDRINUSE):
			err = fmt.Errorf("taking %s: another process of this node has it: end that, or give the agents another port (mirror.agent.port): %w", address, err)
		default:
			err = fmt.Errorf("taking %s: %w", address, err)
		}
		for _, l := range all {
			err = errors.Join(err, l.Close())
		}
		return nil, err
	}
	return all, nil
}

// Serve speaks plain HTTP and TLS on the listeners until ctx ends.
// It then waits for responses that have begun, at most 20 seconds.
func Serve(ctx context.Context, listeners []net.Listener, h http.Handler, l *slog.Logger) error {
	certificate, err := selfSigned(time.Now())
	if err != nil {
		return err
	}
	m := &mux{plain: newBranch(listeners[0].Addr()), tls: newBranch(listeners[0].Addr()), open: make(chan struct{}, maxConnections), log: l}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    log.New(io.Discard, "", 0), // these are connections that clients close
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"http/1.1"}}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error { return m.accept(ctx, l) })
	}
	g.Go(func() error { return served(server.Serve(m.plain)) })
	g.Go(func() error { return served(server.Serve(tls.NewListener(m.tls, config))) })
	g.Go(func() error {
		<-ctx.Done()
		var err error
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(end) != nil {
			err = errors.Join(err, server.Close()) // the node requests the rest again
		}
		return err
	})
	return g.Wait()
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serving the node: %w", err)
}

// mux distinguishes TLS from plain HTTP by the first byte of a connection.
type mux struct {
	plain, tls *branch
	open       chan struct{}
	log        *slog.Logger
}

// accept accepts connections until the listener is closed. While the process or the node has too few
// resources for another connection, accept pauses and tries again, so that running pulls continue.
func (m *mux) accept(ctx context.Context, l net.Listener) error {
	pause := time.Duration(0)
	for {
		select {
		case m.open <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		if err == nil {
			pause = 0
			go m.sort(ctx, &counted{Conn: c, left: sync.OnceFunc(func() { <-m.open })})
			continue
		}
		<-m.open
		if ctx.Err() != nil {
			return nil
		}
		if !exhausted(err) {
			return fmt.Errorf("accepting connections on %s: %w", l.Addr(), err)
		}
		if pause == 0 {
			m.log.Warn("Cannot accept connections of the container runtime, and will retry. Raise the limits of open files of the agent and of the node",
				"address", l.Addr().String(), "error", err.Error())
		}
		pause = min(max(2*pause, minPause), maxPause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// exhausted reports whether a connection could not be accepted because
// the process or the node had too many open files or too little memory.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// sort passes a connection to the branch of its protocol.
func (m *mux) sort(ctx context.Context, c *counted) {
	c.reader = bufio.NewReader(c.Conn)
	err := c.SetReadDeadline(time.Now().Add(firstByteTimeout))
	var first []byte
	if err == nil {
		first, err = c.reader.Peek(1)
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close() // the client is gone or sends nothing
		return
	}
	to := m.plain
	if first[0] == recordHandshake {
		to = m.tls
	}
	select {
	case to.conns <- c:
	case <-to.closed:
		_ = c.Close() // the agent ends
	case <-ctx.Done():
		_ = c.Close() // the agent ends
	}
}

// counted is a connection whose first byte has been read into a buffer. It counts as open until it is closed.
type counted struct {
	net.Conn
	reader *bufio.Reader
	left   func()
}

// Read reads from the buffer first.
func (c *counted) Read(p []byte) (int, error) { return c.reader.Read(p) }

// Close closes the connection, which then no longer counts as open.
func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}

// branch is a listener for the connections of one protocol.
type branch struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	close   func()
}

func newBranch(address net.Addr) *branch {
	b := &branch{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	b.close = sync.OnceFunc(func() { close(b.closed) })
	return b
}

// Accept waits for the next connection.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

// Close makes Accept fail.
func (b *branch) Close() error {
	b.close()
	return nil
}

// Addr returns the first listener's address.
func (b *branch) Addr() net.Addr { return b.address }

// selfSigned returns a new self-signed certificate.
func selfSigned(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "nfo agent"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

package bench

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// far returns an address at which a server appears to be far away: data in each direction
// arrives after half of the given round-trip time. The address works until the benchmark ends.
func far(b *testing.B, server string, away time.Duration) (address string) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	must(b, err)
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // the listener was closed
			}
			connections.Go(func() { carry(ctx, near, server, away/2) })
		}
	})
	b.Cleanup(func() {
		cancel()
		_ = l.Close() // no more connections are made
		connections.Wait()
	})
	return l.Addr().String()
}

// carry forwards a connection to a server until either side closes it.
func carry(ctx context.Context, near net.Conn, server string, delay time.Duration) {
	var dialer net.Dialer
	beyond, err := dialer.DialContext(ctx, "tcp", server)
	if err != nil {
		_ = near.Close() // the registry does not run
		return
	}
	closeBoth := sync.OnceFunc(func() { _, _ = near.Close(), beyond.Close() })
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	var ways sync.WaitGroup
	ways.Go(func() { delayed(beyond, near, delay); closeBoth() })
	ways.Go(func() { delayed(near, beyond, delay); closeBoth() })
	ways.Wait()
}

// piece is the data of one read, and when it is due.
type piece struct {
	data []byte
	due  time.Time
}

// delayed copies until either end closes. Each piece arrives after the delay.
func delayed(to io.Writer, from io.Reader, delay time.Duration) {
	pieces := make(chan piece, 64)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				pieces <- piece{buffer[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for p := range pieces { // also after an error, so that the reader does not block
		<-time.After(time.Until(p.due))
		if !failed {
			_, err := to.Write(p.data)
			failed = err != nil
		}
	}
}

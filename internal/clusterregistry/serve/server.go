package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// requestGrace is how long requests may continue after the process was asked to stop. An upload of a layer takes a
// while. The chart sets how long Kubernetes waits for the pod.
const requestGrace = 5 * time.Minute

// Listen serves h on a listener, over TLS if config is not nil. After ctx
// ends it returns once the running requests have ended, or after requestGrace.
func Listen(ctx context.Context, l net.Listener, h http.Handler, config *tls.Config) error {
	server := &http.Server{
		Handler: h, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() {
		if config != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return errors.Join(fmt.Errorf("ending the requests on %s: %w", l.Addr(), err), server.Close())
	}
	return nil
}

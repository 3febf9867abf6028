package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

const (
	dialTimeout = 10 * time.Second
	keepAlive   = 30 * time.Second
	// A registry that has not begun to answer by then is down.
	headerTimeout = 30 * time.Second
	// From a call's first byte to its last, retries and redirects included. The caller's
	// context may be shorter: 5 s at most for writes.
	callTimeout = 2 * time.Minute
	// A registry that has taken a blob of gigabytes can need minutes to move it to where it stays.
	blobHeaderTimeout = 10 * time.Minute
	maxIdleConns      = 32
	maxRedirects      = 5
)

var errRedirect = errors.New("redirect not followed")

// transports are those of one store: for calls, and for blobs, which take as long as they take.
type transports struct{ calls, blobs *route }

// newTransports builds the transports of one store. caBundle, when not empty, replaces the system's
// roots.
func newTransports(caBundle []byte, a Addresses) (transports, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(caBundle) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(caBundle) {
			return transports{}, fmt.Errorf("reading the CA bundle: %w: no PEM certificate in it", failure.ErrConfig)
		}
	}
	calls := &http.Transport{
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   maxIdleConns,
		// Lengths and digests are of the bytes as they are stored.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	blobs := calls.Clone()
	blobs.ResponseHeaderTimeout = blobHeaderTimeout
	return transports{newRoute(calls, a), newRoute(blobs, a)}, nil
}

func newHTTPClient(transport http.RoundTripper, wrap func(http.RoundTripper) http.RoundTripper, s *secrets, timeout time.Duration) *http.Client {
	base := transport
	if wrap != nil {
		base = wrap(base)
	}
	return &http.Client{Transport: &learner{base: &retrier{base: base}, secrets: s}, Timeout: timeout, CheckRedirect: checkRedirect}
}

// checkRedirect lets reads follow, as registries send them to object storage, but never from
// https to http. The auth client has dropped the credentials already if the origin changed.
// A write goes where it was sent or nowhere (I9).
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case !IsRead(first.Method):
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: there have been %d", errRedirect, maxRedirects)
	case first.URL.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("%w: it leaves https", errRedirect)
	}
	return nil
}

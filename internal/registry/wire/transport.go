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
	// headerTimeout is how long a registry may take until its answer begins.
	headerTimeout = 30 * time.Second
	// callTimeout is from the first byte of a call to the last, retries and redirects
	// included. The caller's context may end earlier: after at most 5 s for writes.
	callTimeout = 2 * time.Minute
	// After the upload of a blob of gigabytes, a registry can need
	// minutes to move the blob into its storage before it answers.
	blobHeaderTimeout = 10 * time.Minute
	maxIdleConns      = 32
	maxRedirects      = 5
)

var errRedirect = errors.New("redirect not followed")

// transports are those of one store: one for calls, and one for blobs, whose transfer has no time limit.
type transports struct{ calls, blobs *route }

// newTransports builds the transports of one store. A caBundle that is not empty replaces the system's roots.
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
		// Without compression, the lengths and digests are those of the bytes as the registry stores them.
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

// checkRedirect lets reads follow redirects, because registries redirect to object
// storage, but never from https to http. The auth client has already dropped the
// credentials if the origin changed. A redirect of a write is not followed (I9).
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

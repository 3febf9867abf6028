package agent

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// maxFile is the maximum size of a file with certificates, in bytes.
	maxFile = 1 << 20
	// rereadAfter is how long the content of the files is used before they are read again.
	rereadAfter = 10 * time.Second
)

// Files are the names of PEM files: the certificate authorities
// of the registry, and the client certificate with its key.
type Files struct{ Authorities, Certificate, Key string }

// transports keeps a transport with the current certificates in the files.
type transports struct {
	files      Files
	serverName string

	mu      sync.Mutex
	at      time.Time
	content [3][]byte
	current *http.Transport
}

func newTransports(f Files, serverName string) *transports {
	return &transports{files: f, serverName: serverName}
}

// now returns the transport. If the files cannot be read any more, it returns the previous one.
func (t *transports) now() (http.RoundTripper, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil && time.Since(t.at) < rereadAfter {
		return t.current, nil
	}
	if err := t.read(); err != nil && t.current == nil {
		return nil, fmt.Errorf("reading the certificates for the registry: %w", err)
	}
	t.at = time.Now()
	return t.current, nil
}

func (t *transports) read() error {
	var content [3][]byte
	for i, name := range []string{t.files.Authorities, t.files.Certificate, t.files.Key} {
		var err error
		if content[i], err = readBounded(name, maxFile); err != nil {
			return err
		}
	}
	if t.current != nil && bytes.Equal(content[0], t.content[0]) && bytes.Equal(content[1], t.content[1]) && bytes.Equal(content[2], t.content[2]) {
		return nil
	}
	pair, err := tls.X509KeyPair(content[1], content[2])
	if err != nil {
		return fmt.Errorf("%s and %s are not a certificate and its key", t.files.Certificate, t.files.Key)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content[0]) {
		return fmt.Errorf("%s has no certificate", t.files.Authorities)
	}
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
	t.current = newTransport(&tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: t.serverName,
		// With Certificates, the client certificate would be left out silently if the server asks for other authorities.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	})
	t.content = content
	return nil
}

// readBounded reads a file. It fails if the file is longer than limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return content, nil
}

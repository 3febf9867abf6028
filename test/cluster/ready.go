package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// client returns an HTTP client that authenticates to the API server as the kubeconfig's user.
func (k *kubeconfig) client() (*http.Client, error) {
	cert, err := tls.X509KeyPair(k.Users[0].User.ClientCertificateData, k.Users[0].User.ClientKeyData)
	if err != nil {
		return nil, fmt.Errorf("reading the client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(k.Clusters[0].Cluster.CertificateAuthorityData) {
		return nil, errors.New("the kubeconfig holds no certificate authority")
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}, nil
}

// await returns nil once the API server has answered a request for
// path with status 200, and check, if not nil, accepts the answer.
func (k *kubeconfig) await(ctx context.Context, path string, check func(body []byte) error) error {
	client, err := k.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		body, err := get(ctx, client, k.Clusters[0].Cluster.Server+path)
		if err == nil && check != nil {
			err = check(body)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %w)", path, context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.300s", url, response.Status, body)
	}
	return body, nil
}

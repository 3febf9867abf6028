package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/certificate"
	"github.com/nfo-operator/nfo/internal/clusterregistry/incluster"
)

// sharedByReplicas is what all processes that serve one folder share.
type sharedByReplicas struct {
	// tls has the certificate; nil for plain HTTP.
	tls *tls.Config
	// secret signs the state of uploads; "" if this process uses its own.
	secret string
	// ready returns an error while there is no certificate that clients trust.
	ready func(*http.Request) error
}

// shareWithReplicas reads the certificate and the secret of uploads from files, or keeps
// them in Secrets of the cluster, and follows changes of the certificate until ctx ends.
func shareWithReplicas(ctx context.Context, g *errgroup.Group, cfg registryConfig) (sharedByReplicas, error) {
	shared := sharedByReplicas{ready: func(*http.Request) error { return nil }}
	var live client.Client
	var err error
	if cfg.namespace != "" {
		kube, err := ctrl.GetConfig()
		if err != nil {
			return shared, fmt.Errorf("finding the cluster: %w", err)
		}
		if live, err = liveClient(kube); err != nil {
			return shared, err
		}
	}
	switch {
	case cfg.secretFile != "":
		shared.secret, err = readSecret(cfg.secretFile)
	case live != nil:
		shared.secret, err = incluster.UploadsSecret(ctx, live, cfg.namespace)
	}
	if err != nil {
		return shared, err
	}
	log := logr.FromSlogHandler(cfg.Log.Handler())
	var keeper *certificate.Keeper
	switch {
	case cfg.certificates != "":
		if shared.tls, err = certificateOf(ctx, g, cfg.certificates); err != nil {
			return shared, err
		}
		if cfg.agents {
			keeper = incluster.AgentKeeper(live, cfg.namespace, log)
		}
	case live != nil:
		keeper = incluster.Keeper(live, cfg.namespace, cfg.names, cfg.agents, log)
		shared.tls, shared.ready = tlsConfig(keeper.GetCertificate), keeper.Ready
	}
	if keeper != nil {
		g.Go(func() error { return keeper.Start(ctx) })
	}
	if cfg.agents {
		trustAgents(shared.tls, keeper)
	}
	return shared, nil
}

// trustAgents accepts client certificates of the keeper's authorities, as they are at each handshake. A client
// without a certificate must log in. A server certificate, such as the registry's own, is refused in the handshake.
func trustAgents(config *tls.Config, keeper *certificate.Keeper) {
	base := config.Clone()
	// A resumed session would rely on an authority that may no longer be trusted.
	base.SessionTicketsDisabled = true
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := base.Clone()
		if authorities := keeper.Authorities(); authorities != nil {
			now.ClientAuth, now.ClientCAs = tls.VerifyClientCertIfGiven, authorities
		}
		return now, nil
	}
}

func tlsConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"h2", "http/1.1"}}
}

func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading --secret-file: %w", err)
	}
	secret := strings.TrimSpace(string(content))
	if len(secret) < 16 {
		return "", fmt.Errorf("reading --secret-file: %s has %d bytes, at least 16 are needed", file, len(secret))
	}
	return secret, nil
}

// certificateOf returns a configuration with the certificate in
// a folder, which is read again when it changes, until ctx ends.
func certificateOf(ctx context.Context, g *errgroup.Group, folder string) (*tls.Config, error) {
	watcher, err := certwatcher.New(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	g.Go(func() error { return watcher.Start(ctx) })
	return tlsConfig(watcher.GetCertificate), nil
}

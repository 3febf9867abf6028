package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// ErrNoClusterRegistry means that a store is in the cluster's own registry, and this cluster has none.
var ErrNoClusterRegistry = errors.New("the cluster's own registry is not enabled")

const (
	// maxTokenFile and maxCAFile bound how much of a token's file and of a certificates' file is read, in bytes.
	maxTokenFile = 16 << 10
	maxCAFile    = 64 << 10
)

// ClusterRegistry is how a program reaches the cluster's own
// registry. The zero value means that the cluster has none.
type ClusterRegistry struct {
	// Address is scheme://host:port, or host:port for HTTPS. "" for no registry.
	Address string
	// CAFile has PEM certificates that the registry's certificate must
	// chain to. It is read again each time. "": the system's roots count.
	CAFile string
	// TokenFile has a token of the program's service account for the audience v1alpha1.ClusterRegistryAudience.
	// It is read again when the registry no longer accepts the token. "": the program does not log in.
	TokenFile string
}

// Describe sets the URL and the CA bundle of the registry in the status of a store. If the error
// wraps ErrNoClusterRegistry, ErrConfig or v1alpha1.ErrRegistryURL, the URL in the status is
// empty. If it wraps ErrUnavailable, the certificates cannot be read and the status is unchanged.
func (c ClusterRegistry) Describe(s *v1alpha1.ArtifactStore) error {
	l, err := s.Location()
	var ca []byte
	switch {
	case err != nil || !s.InClusterRegistry():
	case c.Address == "":
		err = NoClusterRegistry()
	default:
		if l, err = l.At(c.Address); err != nil {
			err = fmt.Errorf("reading the address of the cluster's own registry: %w: %w", failure.ErrConfig, err)
		} else if ca, err = c.certificates(); err != nil {
			return err
		}
	}
	s.Status.URL, s.Status.CABundle = "", ca
	if err == nil {
		s.Status.URL = l.String()
	}
	return err
}

func (c ClusterRegistry) certificates() ([]byte, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	ca, err := readFile(c.CAFile, maxCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of the cluster's own registry: %w: %w", failure.ErrUnavailable, err)
	}
	return ca, nil
}

// NoClusterRegistry returns an error, with a remedy, for a store that asks
// for the registry of a cluster that has none. It wraps ErrNoClusterRegistry.
func NoClusterRegistry() error {
	return fmt.Errorf("%w, and spec.registry.clusterRegistry asks for it. An administrator enables it with: helm upgrade <release> <chart> --reset-then-reuse-values --set registry.enabled=true. Otherwise make a store with spec.registry.url", ErrNoClusterRegistry)
}

// readFile reads a file of at most that many bytes. It follows
// symbolic links, because the files of projected volumes are links.
func readFile(name string, most int64) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return files.Read(f, most)
}

// tokenLogin logs in to one host with the token that is valid when a login is
// needed. It adds each token to the secrets, so that no error contains it.
func tokenLogin(current func(context.Context) (string, error), host string, s *secrets) auth.CredentialFunc {
	return func(ctx context.Context, asked string) (auth.Credential, error) {
		if asked != host {
			return auth.EmptyCredential, nil
		}
		token, err := current(ctx)
		if err != nil {
			return auth.EmptyCredential, fmt.Errorf("getting the token for the cluster's own registry: %w: %w", failure.ErrCredentials, err)
		}
		s.learn(token)
		return credential.OfToken(token).Oras(), nil
	}
}

// tokenFile reads the token from a file each time, because the kubelet renews it.
func tokenFile(name string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		text, err := readFile(name, maxTokenFile)
		token := strings.TrimSpace(string(text))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("the file %s does not exist", name)
		case err == nil && token == "":
			return "", fmt.Errorf("the file %s is empty", name)
		}
		return token, err
	}
}

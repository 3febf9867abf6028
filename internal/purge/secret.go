package purge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/registry"
)

// SecretReader returns the Secret with a name.
type SecretReader func(context.Context, client.ObjectKey) (*corev1.Secret, error)

// StoredSecrets returns a reader of Secrets in the API server.
func StoredSecrets(api client.Reader) SecretReader {
	return func(ctx context.Context, name client.ObjectKey) (*corev1.Secret, error) {
		secret := &corev1.Secret{}
		if err := api.Get(ctx, name, secret); err != nil {
			return nil, fmt.Errorf("reading Secret %s: %w", name, err)
		}
		return secret, nil
	}
}

// MountedSecret returns a reader of the one Secret that is mounted as a volume at dir,
// whatever name is asked for. A volume does not contain the Secret's type, so the keys
// decide it. Errors wrap registry.ErrCredentials if no key of a login exists.
func MountedSecret(dir string) SecretReader {
	return func(_ context.Context, name client.ObjectKey) (*corev1.Secret, error) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Data: map[string][]byte{}}
		for _, key := range []string{corev1.DockerConfigJsonKey, corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey} {
			switch value, err := readKey(filepath.Join(dir, key)); {
			case err == nil:
				secret.Data[key] = value
			case !errors.Is(err, fs.ErrNotExist):
				return nil, fmt.Errorf("reading Secret %s, which is mounted at %s: %w", name, dir, err)
			}
		}
		switch {
		case secret.Data[corev1.DockerConfigJsonKey] != nil:
			secret.Type = corev1.SecretTypeDockerConfigJson
		case len(secret.Data) > 0:
			secret.Type = corev1.SecretTypeBasicAuth
		default:
			return nil, fmt.Errorf("%w: Secret %s, which should be mounted at %s, does not exist or has neither the key %s nor the keys %s and %s",
				registry.ErrCredentials, name, dir, corev1.DockerConfigJsonKey, corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		}
		return secret, nil
	}
}

// readKey reads a file up to the largest size of a Secret. In a volume the file is a symbolic link, which is followed.
func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // errors do not matter after reading
	return files.Read(f, corev1.MaxSecretSize)
}

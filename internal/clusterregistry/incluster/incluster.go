package incluster

import (
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/certificate"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
)

const (
	// uploadsKey is the key of the Secret, and uploadsBytes how many random bytes are in it, in hexadecimal.
	uploadsKey   = "secret"
	uploadsBytes = 32
	// leastBytes is the shortest secret, in bytes, that is used.
	leastBytes = 16
	// uploadsTimeout bounds UploadsSecret, and maxTries how often another replica may write first.
	uploadsTimeout = 30 * time.Second
	maxTries       = 8
)

// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=secrets,resourceNames=nfo-registry-certificate;nfo-registry-uploads;nfo-agent-certificate,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=configmaps,resourceNames=nfo-registry-ca,verbs=get;patch

// Keeper returns the keeper of the registry's certificate in a namespace. The certificate is for the Service
// nfo-registry, for localhost (of use behind a port that is forwarded) and for names, which are DNS names and IP
// addresses. With agents it also issues the client certificate of the nodes' agents. live reads and writes without a
// cache.
func Keeper(live client.Client, namespace string, names []string, agents bool, log logr.Logger) *certificate.Keeper {
	o := options(live, namespace, log)
	o.ConfigMap, o.Names = v1alpha1.RegistryBundleName, append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	if agents {
		o.ClientSecret, o.ClientSubject = v1alpha1.AgentSecretName, agentSubject()
	}
	return certificate.New(o)
}

// AgentKeeper returns the keeper of the client certificate of the nodes' agents alone, for a registry whose own
// certificate somebody else makes.
func AgentKeeper(live client.Client, namespace string, log logr.Logger) *certificate.Keeper {
	o := options(live, namespace, log)
	o.ClientSecret, o.ClientSubject = v1alpha1.AgentSecretName, agentSubject()
	return certificate.New(o)
}

func options(live client.Client, namespace string, log logr.Logger) certificate.Options {
	return certificate.Options{
		Client: live, Namespace: namespace, Secret: v1alpha1.RegistrySecretName, Service: v1alpha1.RegistryName, Of: "registry", Log: log,
	}
}

func agentSubject() pkix.Name {
	return pkix.Name{CommonName: access.AgentName, Organization: []string{access.AgentOrganization}}
}

// UploadsSecret returns the secret that signs the state of uploads, which all replicas in a namespace share. It is
// random, and written by the replica that comes first. live reads and writes without a cache.
func UploadsSecret(ctx context.Context, live client.Client, namespace string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, uploadsTimeout)
	defer cancel()
	key := client.ObjectKey{Namespace: namespace, Name: v1alpha1.RegistryUploadsName}
	var err error
	for range maxTries {
		var secret string
		secret, err = uploadsSecret(ctx, live, key)
		switch {
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err):
			continue // another replica wrote first
		case err != nil:
			return "", fmt.Errorf("keeping the secret of uploads in Secret %s: %w", key, err)
		}
		return secret, nil
	}
	return "", fmt.Errorf("keeping the secret of uploads in Secret %s: %w", key, errors.Join(errors.New("it changed on every attempt"), err))
}

// uploadsSecret reads the Secret, or fills it.
func uploadsSecret(ctx context.Context, live client.Client, key client.ObjectKey) (string, error) {
	var s corev1.Secret
	if err := live.Get(ctx, key, &s); client.IgnoreNotFound(err) != nil {
		return "", err
	}
	if found := s.Data[uploadsKey]; len(found) >= leastBytes {
		return string(found), nil
	}
	random := make([]byte, uploadsBytes)
	_, _ = rand.Read(random) // it has no error
	fresh := hex.EncodeToString(random)
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	s.Data[uploadsKey] = []byte(fresh)
	if s.ResourceVersion != "" {
		return fresh, live.Update(ctx, &s)
	}
	s.ObjectMeta = metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{"app.kubernetes.io/name": "nfo", "app.kubernetes.io/managed-by": "nfo"},
	}
	return fresh, live.Create(ctx, &s)
}

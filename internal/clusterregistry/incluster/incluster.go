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
	// uploadsKey is the key in the Secret. uploadsBytes is the number of random bytes, which are stored in hexadecimal.
	uploadsKey   = "secret"
	uploadsBytes = 32
	// leastBytes is the minimum length of an existing secret, in bytes. A shorter secret is replaced.
	leastBytes = 16
	// uploadsTimeout bounds UploadsSecret. maxTries bounds its attempts while other replicas write.
	uploadsTimeout = 30 * time.Second
	maxTries       = 8
)

// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=secrets,resourceNames=nfo-registry-certificate;nfo-registry-uploads;nfo-agent-certificate,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=configmaps,resourceNames=nfo-registry-ca,verbs=get;patch

// Keeper returns the keeper of the registry's certificate in a namespace. The certificate is valid for the Service
// nfo-registry, for localhost (for port forwarding) and for names, which are DNS names and IP addresses. With agents it
// also issues the client certificate of the nodes' agents. live must read and write without a cache.
func Keeper(live client.Client, namespace string, names []string, agents bool, log logr.Logger) *certificate.Keeper {
	o := options(live, namespace, log)
	o.ConfigMap, o.Names = v1alpha1.RegistryBundleName, append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	if agents {
		o.ClientSecret, o.ClientSubject = v1alpha1.AgentSecretName, agentSubject()
	}
	return certificate.New(o)
}

// AgentKeeper returns a keeper of only the client certificate of the nodes'
// agents, for a registry whose own certificate comes from elsewhere.
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

// UploadsSecret returns the random secret that signs the state of uploads. All replicas in a namespace share it; the
// first replica writes it. live must read and write without a cache.
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

// uploadsSecret reads the Secret, or writes a new secret into it.
func uploadsSecret(ctx context.Context, live client.Client, key client.ObjectKey) (string, error) {
	var s corev1.Secret
	if err := live.Get(ctx, key, &s); client.IgnoreNotFound(err) != nil {
		return "", err
	}
	if found := s.Data[uploadsKey]; len(found) >= leastBytes {
		return string(found), nil
	}
	random := make([]byte, uploadsBytes)
	_, _ = rand.Read(random) // Read never returns an error.
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

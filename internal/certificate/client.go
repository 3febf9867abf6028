package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Authorities returns the authorities that have signed the clients' certificate, or
// will sign it, for ClientCAs of a tls.Config. It returns nil until the first pass.
func (k *Keeper) Authorities() *x509.CertPool { return k.authorities.Load() }

// learn stores the state from which the clients' certificate is issued and verified.
func (k *Keeper) learn(s state) {
	pool := x509.NewCertPool()
	for _, c := range s.bundle {
		pool.AddCert(c)
	}
	k.authorities.Store(pool)
	k.learnt = s
}

// ensureClient keeps the Secret with the clients' certificate up to date. Its failure
// does not make the replica unready, because these clients can work without this server,
// while others need it. If another replica writes first, the next pass checks the result.
func (k *Keeper) ensureClient(ctx context.Context) error {
	if k.o.ClientSecret == "" || k.learnt.signer == nil {
		return nil
	}
	name := k.o.Namespace + "/" + k.o.ClientSecret
	var secret corev1.Secret
	if err := k.o.Client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: k.o.ClientSecret}, &secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Secret %s: %w", name, err)
	}
	now := k.o.Clock.Now()
	if clientGood(decodePair(secret.Data, keyLeaf), k.learnt, k.o.ClientSubject, now) {
		return nil
	}
	if err := k.issueClient(&secret, now); err != nil {
		return err
	}
	write := k.o.Client.Update
	if secret.ResourceVersion == "" {
		secret.Type = corev1.SecretTypeTLS
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: k.o.Namespace, Name: k.o.ClientSecret, Labels: ownLabels()}
		write = func(ctx context.Context, o client.Object, _ ...client.UpdateOption) error {
			return k.o.Client.Create(ctx, o)
		}
	}
	err := write(ctx, &secret)
	switch {
	case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err):
		return nil // another replica wrote first
	case err != nil:
		return fmt.Errorf("writing Secret %s: %w", name, err)
	}
	k.o.Log.Info("Issued a certificate for clients", "secret", name)
	return nil
}

// issueClient writes a new certificate and its key into the Secret, but no key of an authority.
func (k *Keeper) issueClient(into *corev1.Secret, now time.Time) error {
	signer := k.learnt.signer
	leaf, err := sign(&x509.Certificate{
		Subject:     k.o.ClientSubject,
		NotBefore:   now.Add(-backdate),
		NotAfter:    leafEnd(signer, now),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, signer)
	if err != nil {
		return fmt.Errorf("issuing a certificate for clients: %w", err)
	}
	key, err := keyutil.MarshalPrivateKeyToPEM(leaf.PrivateKey)
	if err != nil {
		return fmt.Errorf("encoding the key of clients: %w", err)
	}
	if into.Data == nil {
		into.Data = map[string][]byte{}
	}
	into.Data[keyLeaf+".crt"], into.Data[keyLeaf+".key"] = encodeBundle([]*x509.Certificate{leaf.Leaf}), key
	return nil
}

// clientGood reports whether a certificate for clients can stay: it is only for these clients, it is
// signed by the current authority, and it is either young or a new one would not be valid for longer.
func clientGood(held *tls.Certificate, s state, subject pkix.Name, now time.Time) bool {
	switch {
	case held == nil || !alive(held.Leaf, now) || held.Leaf.Subject.String() != subject.String():
		return false
	case !slices.Equal(held.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || !signedBy(held, s.signer.Leaf):
		return false
	}
	return !old(held, now) || !leafEnd(s.signer, now).After(held.Leaf.NotAfter.Add(margin))
}

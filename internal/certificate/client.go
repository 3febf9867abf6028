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

// Authorities are those that have signed the clients' certificate, or will: for ClientCAs of a tls.Config. Nil until
// the first pass.
func (k *Keeper) Authorities() *x509.CertPool { return k.authorities.Load() }

// learn keeps what the clients' certificate depends on.
func (k *Keeper) learn(s state) {
	pool := x509.NewCertPool()
	for _, c := range s.bundle {
		pool.AddCert(c)
	}
	k.authorities.Store(pool)
	k.learnt = s
}

// ensureClient keeps the Secret with the clients' certificate. Its failure does not make the replica unready, because the
// clients that it is for can go on without this server, and others need it. What another replica has written first is
// looked at in the next pass.
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

// issueClient puts a new certificate into the Secret, and nothing that could sign another.
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

// clientGood reports whether a certificate for clients can stay: it is for them alone, of the authority that signs, and
// young, or cannot be made to last longer.
func clientGood(held *tls.Certificate, s state, subject pkix.Name, now time.Time) bool {
	switch {
	case held == nil || !alive(held.Leaf, now) || held.Leaf.Subject.String() != subject.String():
		return false
	case !slices.Equal(held.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || !signedBy(held, s.signer.Leaf):
		return false
	}
	return !old(held, now) || !leafEnd(s.signer, now).After(held.Leaf.NotAfter.Add(margin))
}

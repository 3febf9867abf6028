package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// The keys of the Secret. Other keys, and other annotations, stay unchanged.
const (
	keyBundle = "ca.crt"
	keySigner = "signer"
	keyNext   = "next"
	keyLeaf   = "tls"
	// sinceAnnotation is the time when the bundle was first seen in every carrier.
	sinceAnnotation = "nfo.dev/bundle-since"
)

// decode reads the parts of a Secret that are valid. Invalid parts are missing
// in the result, without an error, so that no error contains a part of a key.
func decode(s *corev1.Secret) state {
	since, err := time.Parse(time.RFC3339, s.Annotations[sinceAnnotation])
	if err != nil {
		since = time.Time{}
	}
	return state{
		bundle: parseBundle(s.Data[keyBundle]),
		signer: decodePair(s.Data, keySigner),
		next:   decodePair(s.Data, keyNext),
		leaf:   decodePair(s.Data, keyLeaf),
		since:  since,
	}
}

// encode writes a state into a Secret.
func (s state) encode(into *corev1.Secret) error {
	data := map[string][]byte{}
	for k, v := range into.Data {
		data[k] = v
	}
	data[keyBundle] = encodeBundle(s.bundle)
	for name, c := range map[string]*tls.Certificate{keySigner: s.signer, keyNext: s.next, keyLeaf: s.leaf} {
		if c == nil {
			delete(data, name+".crt")
			delete(data, name+".key")
			continue
		}
		key, err := keyutil.MarshalPrivateKeyToPEM(c.PrivateKey)
		if err != nil {
			return fmt.Errorf("encoding the key of %s: %w", name, err)
		}
		data[name+".crt"], data[name+".key"] = encodeBundle([]*x509.Certificate{c.Leaf}), key
	}
	into.Data = data

	annotations := map[string]string{}
	for k, v := range into.Annotations {
		annotations[k] = v
	}
	delete(annotations, sinceAnnotation)
	if !s.since.IsZero() {
		annotations[sinceAnnotation] = s.since.UTC().Format(time.RFC3339)
	}
	into.Annotations = annotations
	return nil
}

// decodePair returns nil unless there is a certificate with its
// key on the curve P-256, the only kind that a Keeper makes.
func decodePair(data map[string][]byte, name string) *tls.Certificate {
	c, err := tls.X509KeyPair(data[name+".crt"], data[name+".key"])
	if err != nil {
		return nil
	}
	if key, ok := c.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve != elliptic.P256() {
		return nil
	}
	c.Certificate = c.Certificate[:1]
	return &c
}

// parseBundle returns the authorities before the first part that cannot be parsed, without duplicates.
func parseBundle(pem []byte) []*x509.Certificate {
	// The error means that the rest could not be parsed. The rest is not trusted.
	certificates, _ := certutil.ParseCertsPEM(pem)
	var s state
	for _, c := range certificates {
		if c.IsCA {
			s.trust(c)
		}
	}
	return s.bundle
}

// encodeBundle returns an empty text for an empty bundle.
func encodeBundle(bundle []*x509.Certificate) []byte {
	pem, err := certutil.EncodeCertificates(bundle...)
	if err != nil {
		return nil // cannot happen: a block without headers is written to memory
	}
	return pem
}

package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"time"
)

const (
	leafLife      = 90 * 24 * time.Hour
	authorityLife = 10 * 365 * 24 * time.Hour
	// backdate is how long before its making a certificate becomes valid, because clocks differ.
	backdate = time.Hour
	// margin: a certificate that ends within this time counts as ended.
	margin = 5 * time.Minute
)

// dnsNames returns the DNS names of a Service; the API server uses the first one.
func dnsNames(service, namespace string) []string {
	name := service + "." + namespace
	return []string{name + ".svc", name + ".svc.cluster.local", name}
}

// newAuthority makes a certificate authority.
func newAuthority(now time.Time) (*tls.Certificate, error) {
	template := &x509.Certificate{
		// The time distinguishes the authorities of a bundle.
		Subject:               pkix.Name{CommonName: "nfo CA " + now.UTC().Format(time.RFC3339)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	c, err := sign(template, nil)
	if err != nil {
		return nil, fmt.Errorf("making a certificate authority: %w", err)
	}
	return c, nil
}

// issue makes a leaf for DNS names and IP addresses. The leaf never outlives its authority.
func issue(authority *tls.Certificate, names []string, now time.Time) (*tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "nfo"},
		NotBefore:   now.Add(-backdate),
		NotAfter:    leafEnd(authority, now),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	c, err := sign(template, authority)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	return c, nil
}

// leafEnd returns the time when a leaf that is issued now expires.
func leafEnd(authority *tls.Certificate, now time.Time) time.Time {
	end := now.Add(leafLife)
	if authority.Leaf.NotAfter.Before(end) {
		return authority.Leaf.NotAfter
	}
	return end
}

// sign makes a certificate with a new key. Without an authority the certificate is self-signed.
func sign(template *x509.Certificate, authority *tls.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if authority == nil {
		authority = &tls.Certificate{PrivateKey: key, Leaf: template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, key.Public(), authority.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// canSign reports whether a certificate is an authority such as newAuthority
// makes. An authority with constraints on what it may sign does not count.
func canSign(c *tls.Certificate, now time.Time) bool {
	if c == nil || !alive(c.Leaf, now) {
		return false
	}
	a := c.Leaf
	limits := len(a.PermittedDNSDomains) + len(a.ExcludedDNSDomains) + len(a.ExtKeyUsage) + len(a.UnknownExtKeyUsage) + len(a.UnhandledCriticalExtensions)
	return a.IsCA && limits == 0 && a.CheckSignatureFrom(a) == nil
}

// good reports whether a leaf is valid for all names, now and after margin, for clients that trust the bundle.
func good(leaf *tls.Certificate, bundle []*x509.Certificate, names []string, now time.Time) bool {
	if leaf == nil {
		return false
	}
	roots := x509.NewCertPool()
	for _, c := range bundle {
		roots.AddCert(c)
	}
	for _, name := range names {
		if leaf.Leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	for _, at := range []time.Time{now, now.Add(margin)} {
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at}); err != nil {
			return false
		}
	}
	return true
}

// signedBy reports whether the authority signed the leaf.
func signedBy(leaf *tls.Certificate, authority *x509.Certificate) bool {
	return leaf != nil && leaf.Leaf.CheckSignatureFrom(authority) == nil
}

func alive(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && now.Add(margin).Before(c.NotAfter)
}

// old reports whether two thirds of a certificate's lifetime have passed.
func old(c *tls.Certificate, now time.Time) bool {
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return !now.Before(c.Leaf.NotBefore.Add(life / 3 * 2))
}

func same(a, b *tls.Certificate) bool {
	return a != nil && b != nil && bytes.Equal(a.Leaf.Raw, b.Leaf.Raw)
}

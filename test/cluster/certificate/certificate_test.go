package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

func TestCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, err := New(now)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := New(now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server(now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := ca.Client(now, "admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	serverAuth, clientAuth := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	tests := map[string]struct {
		reason  string
		pair    Pair
		root    *Authority
		name    string
		use     x509.ExtKeyUsage
		at      time.Time
		refused bool
	}{
		"server by address":  {reason: "the kubeconfig names it so", pair: server, root: ca, name: "127.0.0.1", use: serverAuth, at: now},
		"server as service":  {reason: "clients in a cluster name it so", pair: server, root: ca, name: "kubernetes.default.svc", use: serverAuth, at: now},
		"server by host":     {reason: "people name it so", pair: server, root: ca, name: "localhost", use: serverAuth, at: now},
		"server elsewhere":   {reason: "it is not a certificate for others", pair: server, root: ca, name: "example.com", use: serverAuth, at: now, refused: true},
		"server as client":   {reason: "it must not open the API", pair: server, root: ca, use: clientAuth, at: now, refused: true},
		"client":             {reason: "the administrator's way in", pair: admin, root: ca, use: clientAuth, at: now},
		"client elsewhere":   {reason: "clusters do not trust each other", pair: admin, root: stranger, use: clientAuth, at: now, refused: true},
		"client as server":   {reason: "nobody may pose as the API server with it", pair: admin, root: ca, use: serverAuth, at: now, refused: true},
		"clock a bit behind": {reason: "virtual machines drift", pair: admin, root: ca, use: clientAuth, at: now.Add(-time.Minute)},
		"after its time":     {reason: "nothing lasts", pair: admin, root: ca, use: clientAuth, at: now.Add(lifetime + time.Minute), refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roots := x509.NewCertPool()
			roots.AddCert(test.root.cert)
			_, err := leaf(t, test.pair).Verify(x509.VerifyOptions{
				Roots: roots, DNSName: test.name, CurrentTime: test.at, KeyUsages: []x509.ExtKeyUsage{test.use},
			})
			if refused := err != nil; refused != test.refused {
				t.Errorf("refused: got %t (%v), want %t: %s", refused, err, test.refused, test.reason)
			}
		})
	}
	if got := leaf(t, admin).Subject.String(); got != "CN=admin,O=system:masters" {
		t.Errorf("the administrator is %q", got)
	}
}

// leaf parses the pair, which fails unless the key belongs to the certificate.
func leaf(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	both, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return both.Leaf
}

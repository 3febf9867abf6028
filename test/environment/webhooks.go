package environment

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// webhooks describes the webhooks of one manager: its port, its certificate and its namespaces.
type webhooks struct {
	*Environment
	namespaces  []string
	port        int
	certificate tls.Certificate
	// asked counts the requests to the webhook for pods.
	asked *atomic.Int64
}

// nextPort numbers the ports from 61001. They are above the default range of ephemeral
// ports, so that no outgoing connection can take one before the manager listens.
var nextPort atomic.Int32

func (e *Environment) newWebhooks(t testing.TB, namespaces []string) webhooks {
	t.Helper()
	w := webhooks{Environment: e, namespaces: namespaces, asked: &atomic.Int64{}}
	for w.port == 0 {
		port := 61000 + int(nextPort.Add(1))
		if port > 65535 {
			t.Fatal("no port is free for the webhooks")
		}
		var config net.ListenConfig
		if l, err := config.Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil && l.Close() == nil {
			w.port = port
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(w.port)), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	w.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return w
}

func (w webhooks) server() webhook.Server {
	return webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: w.port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &w.certificate, nil }
	}}})
}

// install creates a copy of the product's ValidatingWebhookConfiguration that sends requests
// for the manager's namespaces to this manager. It returns the copy's name once the API server
// calls the webhooks. The copy is deleted at the end of the test, before the manager stops.
func (w webhooks) install(t testing.TB) string {
	t.Helper()
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := configuration("webhook.yaml", c); err != nil {
		t.Fatal(err)
	}
	c.Name = fmt.Sprintf("nfo-validating-%d", w.port)
	for i := range c.Webhooks {
		w.lead(&c.Webhooks[i].ClientConfig, &c.Webhooks[i].NamespaceSelector)
	}
	if err := w.Client.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := client.IgnoreNotFound(w.Client.Delete(ctx, c)); err != nil {
			t.Error(err)
		}
		if err := w.minded(ctx, false); err != nil {
			t.Errorf("the webhooks %s are still asked: %v", c.Name, err)
		}
	})
	if err := w.minded(t.Context(), true); err != nil {
		t.Fatalf("the webhooks %s are not asked: %v", c.Name, err)
	}
	return c.Name
}

// lead makes a webhook of a configuration point to this manager, for the manager's namespaces only.
func (w webhooks) lead(to *admissionregistrationv1.WebhookClientConfig, from **metav1.LabelSelector) {
	url := fmt.Sprintf("https://127.0.0.1:%d%s", w.port, *to.Service.Path)
	*to = admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.certificate.Certificate[0]})}
	*from = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: w.namespaces,
	}}}
}

// configuration reads the webhook configuration of the kind of into from a file in config/webhook.
func configuration(name string, into client.Object) error {
	file := filepath.Join(Root(), "config/webhook", name)
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	kind := reflect.TypeOf(into).Elem().Name()
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		var u unstructured.Unstructured
		if err := d.Decode(&u.Object); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if u.GetKind() == kind {
			return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into)
		}
	}
}

// minded waits until the API server calls the webhooks (want) or no longer calls them (not
// want). The API server learns of a changed configuration only some time after it was stored.
func (w webhooks) minded(ctx context.Context, want bool) error {
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		wrong := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespaces[0], Name: "probe"}}
		wrong.Spec.Registry.URL = "https://registry.example.com/probe"
		wrong.Spec.Purge.Schedule = new("TZ=UTC 0 0 * * *")
		err := w.Client.Create(ctx, wrong, client.DryRunAll)
		return want == (err != nil && strings.Contains(err.Error(), "artifactstores.nfo.dev")), nil
	})
}

package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/caller"
	"github.com/nfo-operator/nfo/internal/certificate"
	"github.com/nfo-operator/nfo/test/environment"
)

// Three replicas at the same time rotate the webhooks' certificate and its authority, and replace a deleted
// Secret, with the optimistic locking, defaults and validation of a real API server, and the manager's own rights.
func TestI13TheCertificateIsRotatedByAllReplicas(t *testing.T) {
	t.Parallel()
	const ns = v1alpha1.ManagerNamespace
	live, err := client.New(env.Judged(environment.ManagerUser), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	hooks := uncalledWebhooks(t, ns)
	// This checks that the manager may also change this configuration.
	pods := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.MutatingWebhookName}}
	for _, w := range hooks.Webhooks {
		pods.Webhooks = append(pods.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, ObjectSelector: w.ObjectSelector,
			NamespaceSelector: w.NamespaceSelector, SideEffects: w.SideEffects, AdmissionReviewVersions: w.AdmissionReviewVersions,
		})
	}
	if err := env.Client.Create(t.Context(), pods); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Client.Delete(context.WithoutCancel(t.Context()), pods) })
	newScene(t).hides(live, hooks)
	clk := clocktesting.NewFakeClock(time.Now())
	var replicas []*certificate.Keeper
	for range 3 {
		replicas = append(replicas, certificate.New(certificate.Options{
			Client: live, Namespace: ns, Secret: v1alpha1.WebhookSecretName, Service: v1alpha1.WebhookServiceName,
			Webhooks: []string{hooks.Name}, Mutating: []string{pods.Name}, Clock: clk, Log: logr.Discard(),
		}))
	}
	const year = 365 * 24 * time.Hour
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: v1alpha1.WebhookSecretName}}
	t.Cleanup(func() { _ = env.Client.Delete(context.WithoutCancel(t.Context()), secret) })
	for _, tc := range []struct {
		reason      string
		after       time.Duration
		deleted     bool
		authorities int
	}{
		{reason: "all is made once", authorities: 1},
		{reason: "the leaf is renewed", after: 61 * 24 * time.Hour, authorities: 1},
		{reason: "the next authority is announced", after: 7 * year, authorities: 2},
		{reason: "the next authority signs", after: time.Hour, authorities: 2},
		{reason: "the old authority leaves", after: time.Hour, authorities: 1},
		{reason: "a deleted Secret is made anew, and what it had stays trusted", deleted: true, authorities: 2},
		{reason: "the new authority signs alone", after: 2 * time.Hour, authorities: 1},
	} {
		if tc.deleted {
			if err := env.Client.Delete(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
		}
		clk.Step(tc.after)
		// Twice, because a replica that was ahead of the others serves what was decided in that first round.
		for range 2 {
			var all errgroup.Group
			for _, k := range replicas {
				all.Go(func() error { return k.Ensure(t.Context()) })
			}
			if err := all.Wait(); err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
		}
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(hooks), hooks); err != nil {
			t.Fatal(err)
		}
		bundle := hooks.Webhooks[0].ClientConfig.CABundle
		for i, k := range replicas {
			c, err := k.GetCertificate(&tls.ClientHelloInfo{})
			if err != nil || k.Ready(nil) != nil {
				t.Fatalf("%s: replica %d: %v, ready: %v", tc.reason, i, err, k.Ready(nil))
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(bundle)
			if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: v1alpha1.WebhookServiceName + "." + ns + ".svc", CurrentTime: clk.Now()}); err != nil {
				t.Errorf("%s: replica %d: %v", tc.reason, i, err)
			}
		}
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
			t.Fatal(err)
		}
		if n := countAuthorities(bundle); n != tc.authorities || string(secret.Data["ca.crt"]) != string(bundle) || secret.Type != corev1.SecretTypeTLS {
			t.Errorf("%s: %d authorities, want %d, in a Secret of type %s", tc.reason, n, tc.authorities, secret.Type)
		}
	}
	if path := *hooks.Webhooks[0].ClientConfig.Service.Path; len(path) < len("/uncalled")+26 || !strings.HasSuffix(path, "/uncalled") {
		t.Errorf("beside the certificate the path became %q", path)
	}
}

// hides makes a replica add a secret to the paths of the webhooks, and waits until they have it.
func (s *scene) hides(live client.Client, hooks *admissionregistrationv1.ValidatingWebhookConfiguration) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	gate := caller.New(caller.Options{Client: live, Configuration: hooks.Name, Deployment: client.ObjectKey{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.ManagerName}})
	go func() { _ = gate.Start(ctx) }() // it ends with ctx and returns no error
	s.Eventually(func() (string, error) {
		err := env.Client.Get(ctx, client.ObjectKeyFromObject(hooks), hooks)
		return *hooks.Webhooks[0].ClientConfig.Service.Path, err
	}, time.Minute).Should(gomega.MatchRegexp("^/.{26}/uncalled$"))
}

// uncalledWebhooks creates a configuration that matches no request.
func uncalledWebhooks(t *testing.T, namespace string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	none := admissionregistrationv1.SideEffectClassNone
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "uncalled.nfo.dev", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: v1alpha1.WebhookServiceName, Path: new("/uncalled")}},
		}},
	}
	if err := env.Client.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Client.Delete(context.WithoutCancel(t.Context()), c) })
	return c
}

func countAuthorities(bundle []byte) int {
	n := 0
	for rest := bundle; len(rest) > 0; n++ {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = after
	}
	return n
}

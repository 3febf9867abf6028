package main

import (
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// checkWebhooks has the API server call one webhook. All webhooks
// have the same Service and certificate, so one call is enough.
func checkWebhooks(ctx context.Context, api client.Client, namespace string) error {
	wrong := &v1alpha1.ArtifactStore{}
	wrong.Namespace, wrong.Name = namespace, "nfo-check"
	wrong.Spec.Registry.URL = "https://registry.example.com/nfo-check"
	// The schema accepts any text.
	wrong.Spec.Purge.Schedule = new("TZ=UTC 0 0 * * *")
	err := api.Create(ctx, wrong, client.DryRunAll)
	switch {
	case err == nil:
		return fmt.Errorf("the API server does not ask the webhooks: it would take an ArtifactStore with a schedule that is not one. The ValidatingWebhookConfiguration %s is missing, or was changed: upgrade the chart", v1alpha1.WebhookConfigurationName)
	case strings.Contains(err.Error(), "failed calling webhook"):
		return fmt.Errorf("the API server cannot ask the webhooks, and so refuses to change what they are about: %w. %s", err, unasked(err.Error(), namespace))
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "):
		return fmt.Errorf("whether the webhooks answer cannot be seen without the right to create an ArtifactStore in the namespace %s, which nothing but a dry run makes use of: %w", namespace, err)
	case strings.Contains(err.Error(), "denied the request"):
		return nil
	}
	return fmt.Errorf("asking for what a webhook has to refuse: %w", err)
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=nfo-pods,verbs=get

// checkPods checks that the pods' webhook, if it exists, leads to this operator and has a caBundle. With
// the default failurePolicy Ignore, the API server does not report that it cannot call this webhook.
func checkPods(ctx context.Context, api client.Client, namespace string) error {
	what, c := "the MutatingWebhookConfiguration "+v1alpha1.MutatingWebhookName, &admissionregistrationv1.MutatingWebhookConfiguration{}
	err := api.Get(ctx, client.ObjectKey{Name: v1alpha1.MutatingWebhookName}, c)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	for _, w := range c.Webhooks {
		switch s := w.ClientConfig.Service; {
		case s != nil && s.Namespace != namespace:
			return fmt.Errorf("%s leads to the namespace %s and not to %s, so that pods do not pull from the mirror: upgrade the chart", what, s.Namespace, namespace)
		case len(w.ClientConfig.CABundle) == 0:
			return fmt.Errorf("%s has no caBundle, so that pods do not pull from the mirror: the operator puts it there within a minute; see kubectl logs -n %s deployment/%s", what, namespace, v1alpha1.ManagerName)
		}
	}
	return nil
}

// unasked returns what to do when the API server could not call a webhook, by the words of its error.
func unasked(text, namespace string) string {
	for _, known := range []struct{ words, do string }{
		{"x509:", "It does not trust their certificate. If nfo makes it itself (certificate.mode=self), see what kubectl logs -n %[1]s deployment/nfo-manager says of it; a new one comes when " +
			"the Secret nfo-webhook-certificate is deleted. If cert-manager makes it, see kubectl describe certificate -n %[1]s nfo-webhooks and whether cert-manager's CA injector runs."},
		{"no endpoints available", "No replica is ready behind the Service nfo-webhooks: see kubectl describe pod -n %[1]s -l app.kubernetes.io/component=manager."},
		{"not found", "Their Service is missing: upgrade the chart."},
		{"connection refused", "No replica listens on port 9443: see kubectl logs -n %[1]s deployment/nfo-manager."},
		{"deadline exceeded", "They are not reached in time: let the control plane reach port 9443 of the pods in %[1]s, through firewalls and NetworkPolicies."},
		{"no route to host", "They are not reached: let the control plane reach port 9443 of the pods in %[1]s, through firewalls and NetworkPolicies."},
	} {
		if strings.Contains(text, known.words) {
			return fmt.Sprintf(known.do, namespace)
		}
	}
	return fmt.Sprintf("See kubectl describe service -n %s nfo-webhooks, and kubectl logs -n %[1]s deployment/nfo-manager.", namespace)
}

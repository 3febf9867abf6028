package caller

import (
	"context"
	"fmt"
	"net/url"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// configuration is a webhook configuration of either kind.
type configuration struct {
	object client.Object
	// what is how errors name the object.
	what string
	// webhooks are the object's client configurations.
	webhooks []*admissionregistrationv1.WebhookClientConfig
}

// configurations reads the webhook configurations that exist. It fails if the validating one does not.
func (g *Gate) configurations(ctx context.Context) ([]configuration, error) {
	v := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := g.o.Client.Get(ctx, client.ObjectKey{Name: g.o.Configuration}, v); err != nil {
		return nil, fmt.Errorf("reading ValidatingWebhookConfiguration %s: %w", g.o.Configuration, err)
	}
	all := []configuration{validating(v)}
	if g.o.Mutating == "" {
		return all, nil
	}
	m := &admissionregistrationv1.MutatingWebhookConfiguration{}
	err := g.o.Client.Get(ctx, client.ObjectKey{Name: g.o.Mutating}, m)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading MutatingWebhookConfiguration %s: %w", g.o.Mutating, err)
	}
	if err == nil {
		all = append(all, mutating(m))
	}
	return all, nil
}

func validating(o *admissionregistrationv1.ValidatingWebhookConfiguration) configuration {
	c := configuration{object: o, what: "ValidatingWebhookConfiguration " + o.Name}
	for i := range o.Webhooks {
		c.webhooks = append(c.webhooks, &o.Webhooks[i].ClientConfig)
	}
	return c
}

func mutating(o *admissionregistrationv1.MutatingWebhookConfiguration) configuration {
	c := configuration{object: o, what: "MutatingWebhookConfiguration " + o.Name}
	for i := range o.Webhooks {
		c.webhooks = append(c.webhooks, &o.Webhooks[i].ClientConfig)
	}
	return c
}

// askedAt returns the path at which the API server calls a webhook,
// at a Service or a URL, or "" if it has none or an invalid one.
func askedAt(w *admissionregistrationv1.WebhookClientConfig) string {
	if path := pathOf(w); path != nil {
		return *path
	}
	if w.URL != nil {
		if at, err := url.Parse(*w.URL); err == nil {
			return at.Path
		}
	}
	return ""
}

// pathOf returns the path of a webhook at a Service, or nil for other webhooks.
func pathOf(w *admissionregistrationv1.WebhookClientConfig) *string {
	if w.Service == nil {
		return nil
	}
	return w.Service.Path
}

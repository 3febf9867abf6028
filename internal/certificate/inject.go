package certificate

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// configurations reads the webhook configurations that exist.
func (k *Keeper) configurations(ctx context.Context) ([]*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	var found []*admissionregistrationv1.ValidatingWebhookConfiguration
	for _, name := range k.o.Webhooks {
		c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		err := k.o.Client.Get(ctx, client.ObjectKey{Name: name}, c)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading ValidatingWebhookConfiguration %s: %w", name, err)
		}
		found = append(found, c)
	}
	return found, nil
}

// unchanged reports whether the configurations are still as they were read.
func (k *Keeper) unchanged(ctx context.Context, read []*admissionregistrationv1.ValidatingWebhookConfiguration) (bool, error) {
	now, err := k.configurations(ctx)
	return slices.EqualFunc(read, now, func(a, b *admissionregistrationv1.ValidatingWebhookConfiguration) bool {
		return a.UID == b.UID && a.ResourceVersion == b.ResourceVersion
	}), err
}

// carried is the bundle of every webhook.
func carried(configurations []*admissionregistrationv1.ValidatingWebhookConfiguration) [][]byte {
	var bundles [][]byte
	for _, c := range configurations {
		for _, w := range c.Webhooks {
			bundles = append(bundles, w.ClientConfig.CABundle)
		}
	}
	return bundles
}

// inject puts the bundle where another one is, only over what was read, and reports whether it
// had to. One that has been deleted meanwhile needs none.
func (k *Keeper) inject(ctx context.Context, configurations []*admissionregistrationv1.ValidatingWebhookConfiguration, bundle []byte) (bool, error) {
	injected := false
	for _, c := range configurations {
		patch := client.MergeFromWithOptions(c.DeepCopy(), client.MergeFromWithOptimisticLock{})
		differs := false
		for i := range c.Webhooks {
			if w := &c.Webhooks[i]; !bytes.Equal(w.ClientConfig.CABundle, bundle) {
				w.ClientConfig.CABundle, differs = bundle, true
			}
		}
		if !differs {
			continue
		}
		if err := k.o.Client.Patch(ctx, c, patch); client.IgnoreNotFound(err) != nil {
			return injected, fmt.Errorf("telling the API server whom to trust in ValidatingWebhookConfiguration %s: %w", c.Name, err)
		}
		injected = true
	}
	return injected, nil
}
